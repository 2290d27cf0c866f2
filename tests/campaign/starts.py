"""Start two processes at once that make and read the same files, at random moments, and compare what both read.

    python tests/campaign/starts.py [--count 20] [--seed 0]

Right is: both end without an error and read the bytes of an undisturbed call, and nothing else is left behind. The
table goes to starts.md beside this; the exit code counts what was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "lib")]

from campaign.writes import WRITES, files  # noqa: E402

SHARED = ("world", "features", "boxes of a video", "downloaded weights", "rendered world", "weights file", "checkpoint",
          "video", "image", "label file")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="pairs (20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path, default=HERE / "starts.md")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    lines = [f"Seed {args.seed}.", "", "| what both made | the second came after | outcome |", "|---|--:|---|"]
    wrong, times = 0, {}
    with tempfile.TemporaryDirectory() as work:
        for number in range(args.count):
            name = SHARED[number % len(SHARED)]
            whole = Path(work) / "whole" / name.replace(" ", "_")
            if not whole.exists():
                whole.mkdir(parents=True)
                began = time.perf_counter()
                WRITES[name](whole)
                times[name] = time.perf_counter() - began
            later = float(rng.uniform(0, 1)) if number >= len(SHARED) else 0.0  # the first of each at the same moment
            said = pair(name, Path(work) / f"pair{number}", later * times[name], files(whole))
            wrong += said != "equal"
            lines.append(f"| {name} | {later:.0%} of its time | {said} |")
            print(lines[-1], flush=True)
    args.table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return wrong


def pair(name: str, folder: Path, later: float, right: dict[str, str]) -> str:
    """What two processes read, one of which starts some seconds later."""
    folder.mkdir()
    start = time.monotonic() + 0.05
    pipes = [in_child(name, folder, start + seconds) for seconds in (0, later)]
    read = [pipe.read().decode() for pipe in pipes]
    for _ in pipes:
        os.wait()
    for text in read:
        if not text.startswith("{"):
            return f"WRONG: {text}"
        if json.loads(text) != right:
            return "WRONG: other bytes"
    left = [path.name for path in folder.rglob(".*") if not path.name.endswith(".lock")]
    return f"WRONG: left {', '.join(left)}" if left else "equal"


def in_child(name: str, folder: Path, start: float):
    """A pipe from a process that makes the files at a moment and then tells their hashes."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sys.stderr = open(os.devnull, "w", encoding="utf-8")
                time.sleep(max(0, start - time.monotonic()))
                WRITES[name](folder)
            text = json.dumps(files(folder))
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(write, text.encode()[:60000])
        os._exit(0)
    os.close(write)
    return open(read, "rb")


if __name__ == "__main__":
    sys.exit(main())
