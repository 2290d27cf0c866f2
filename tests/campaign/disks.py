"""Let the disk be full at random moments of all that the project writes, then make room and call again.

    python tests/campaign/disks.py [--count 26] [--seed 0]

A small file system in memory is mounted, which needs root on Linux. Right is: one sentence that names a file there and
says how much is missing or was written, no file under its name that is not whole, and with room the files of an
undisturbed call. The table goes to disks.md beside this; the exit code counts what was wrong.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "lib")]

from campaign.writes import WRITES, files  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=26, help="full disks (26, two of each kind)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path, default=HERE / "disks.md")
    args = parser.parse_args()
    rng, names = np.random.default_rng(args.seed), list(WRITES)
    lines = [f"Seed {args.seed}.", "", "| what was written | the disk had | outcome | with room |", "|---|--:|---|---|"]
    wrong = 0
    with tempfile.TemporaryDirectory() as work:
        for number in range(args.count):
            name = names[number % len(names)]
            whole = Path(work) / "whole" / name.split(":")[0].replace(" ", "_")
            if not whole.exists():
                whole.mkdir(parents=True)
                WRITES[name](whole)
            share = float(rng.uniform(0.02, 1.1))
            said, after = full_disk(name, whole, share, Path(work) / "disk")
            wrong += said.startswith("WRONG") or after != "equal"
            lines.append(f"| {name} | {share:.0%} | {said} | {after} |")
            print(lines[-1], flush=True)
    args.table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return wrong


def full_disk(name: str, whole: Path, share: float, place: Path) -> tuple[str, str]:
    """The outcome of a call on a disk of a share of what it needs, and of a second with room."""
    right = files(whole)
    need = sum(-(-path.stat().st_size // 4096) * 4096 for path in whole.rglob("*") if path.is_file())
    place.mkdir(exist_ok=True)
    size = f"size={max(4096, int(share * need) // 4096 * 4096)}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "fewpose", str(place)], check=True)
    try:
        said = in_child(name, place / "folder")
        found = files(place / "folder")
        halves = sorted(file for file in found if found[file] != right.get(file))
        if halves:
            said = f"WRONG: {', '.join(halves)} not whole"
        elif said == "done" and found != right:
            said = "WRONG: done, with less than all files"
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        after = in_child(name, place / "folder")
        return said, "equal" if after == "done" and files(place / "folder") == right else f"WRONG: {after}"
    finally:
        subprocess.run(["umount", str(place)], check=True)


def in_child(name: str, folder: Path) -> str:
    """How a call ended in a process of its own: "done", its sentence, or what was wrong with that."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.close(read)
        try:
            with warnings.catch_warnings(), open(os.devnull, "w", encoding="utf-8") as nothing:
                warnings.simplefilter("ignore")
                sys.stdout = sys.stderr = nothing
                folder.mkdir(exist_ok=True)
                WRITES[name](folder)
            text = "done"
        except BaseException as error:
            text = judged(error, folder)
        os.write(write, text.encode()[:4000])
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        text = pipe.read().decode()
    status = os.waitpid(child, 0)[1]
    return f"WRONG: killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else text


def judged(error: BaseException, folder: Path) -> str:
    """The sentence of an error without the path of the folder; WRONG if it is none that helps."""
    text = str(error)
    amount = " missing" in text or "of this file" in text
    helps = str(folder) in text and "full" in text and amount and "\n" not in text and "make room" in text
    shown = text.replace(f"{folder}/", "").replace(str(folder), ".")
    return shown if isinstance(error, OSError | RuntimeError) and helps else f"WRONG: {type(error).__name__}: {shown}"


if __name__ == "__main__":
    sys.exit(main())
