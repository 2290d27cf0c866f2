"""Kill a tiny profile at random moments, start it again, and compare all its numbers with those of an undisturbed run.

    python tests/campaign/kills.py [--count 20] [--seed 0]

Each trial starts from nothing but the rendered world, and every fifth without that, too. Its SIGKILL goes to the client
(with it the scheduler), a worker or the kernel of a notebook; then the same command runs until it says that all is
done. The notebooks are the real ones without the statements that draw. The table goes to kills.md beside this.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DRAWS = ("fig", "curves.", "overlay", "frames is", "read_test_video")  # what only drawing statements hold
NOTEBOOKS = ("sports/supervised", "sports/pseudo_labels", "sports/tables_and_curves")
PROFILE = """\
- {run: supervised_10, notebook: sports/supervised, parameters: &tiny {
    frames: 60, videos: 10, size: 64, labels: 10, batch_size: 8, steps: 24, evaluate_every: 6, learning_rate: 0.005}}
- {run: supervised_all, notebook: sports/supervised, parameters: {<<: *tiny, labels: 0}}
- {run: pseudo_labels_10, notebook: sports/pseudo_labels, parameters: {
    <<: *tiny, supervised_run: supervised_10, keep_percent: [90], augmentations: 2, retraining_steps: 12,
    fine_tuning_steps: 6}}
- {run: tables, notebook: sports/tables_and_curves, parameters: {results_from: "", labels: 10},
    needs: [supervised_10, supervised_all, pseudo_labels_10]}
"""
VICTIMS = ("client", "worker", "kernel")
TRIES = 4  # calls after a kill; the second at the latest is to say that nothing is left to do


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="kills (20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path, default=HERE / "kills.md")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder))
        undisturbed(project)
        clean(project, world=False)
        whole = undisturbed(project)
        right = results(project)
        about = f"Seed {args.seed}; the undisturbed run takes {whole:.0f} s of CPU time and leaves {len(right)} files."
        print(about, flush=True)
        rows = [about, ""]
        rows += [
            "| kill | at, CPU time | runs that were on | calls until all is up to date | numbers |",
            "|:--|--:|:--|--:|:--|",
        ]
        wrong = 0
        for number in range(args.count):
            draw = random.Random(f"{args.seed}/{number}")
            clean(project, world=number % 5 == 4)
            victim, moment = VICTIMS[number % 3], draw.uniform(0, whole)
            killed, running = kill_at(project, victim, moment, draw)
            calls = until_done(project)
            different = compare(right, results(project))
            wrong += bool(different) or not 0 < calls <= 2
            said = f"differ: {', '.join(different)}" if different else "equal"
            rows.append(f"| {killed} | {moment:.0f} s | {running} | {calls or 'never'} | {said} |")
            print(rows[-1], flush=True)
            args.table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return wrong


def make_project(folder: Path) -> Path:
    """A project of its own, whose notebooks are the real ones without the statements that draw."""
    for name in NOTEBOOKS:
        notebook = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for cell in cells:
            if "parameters" not in cell["metadata"].get("tags", []):
                cell["source"] = undrawn("".join(cell["source"]))
        path = folder / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**notebook, "cells": cells}), encoding="utf-8")
    (folder / "params").mkdir()
    (folder / "params" / "tiny.yaml").write_text(PROFILE, encoding="utf-8")
    return folder


def undrawn(code: str) -> str:
    """The statements of a cell that mention nothing of DRAWS; those inside of loops stay."""
    kept = []
    for statement in ast.parse(code).body:
        text = ast.get_source_segment(code, statement)
        if isinstance(statement, ast.Import | ast.ImportFrom | ast.For) or not any(word in text for word in DRAWS):
            kept.append(text)
    return "\n".join(kept)


def start(project: Path) -> subprocess.Popen:
    """The command, which prints into a file of the project."""
    environment = {**os.environ, "FEWPOSE_ROOT": str(project), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "lib")}
    command = [sys.executable, "-m", "fewpose", "reproduce", "--profile", "tiny", "--workers", "2"]
    with open(project / "printed.txt", "w", encoding="utf-8") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)


def undisturbed(project: Path) -> float:
    """The CPU seconds of a call that nothing disturbs; RuntimeError if it fails."""
    client, seconds = start(project), 0.0
    while client.poll() is None:
        seconds = max(seconds, cpu_seconds(client.pid))
        time.sleep(0.2)
    if client.returncode:
        raise RuntimeError((project / "printed.txt").read_text(encoding="utf-8"))
    return seconds


def cpu_seconds(client: int) -> float:
    """The CPU time of a call and all its processes so far: a moment that does not depend on what else runs."""
    seconds = 0.0
    for process in [psutil.Process(client), *psutil.Process(client).children(recursive=True)]:
        try:
            seconds += sum(process.cpu_times()[:4])  # user and system, of itself and of children that have ended
        except psutil.NoSuchProcess:
            continue
    return seconds


def clean(project: Path, world: bool) -> None:
    """Remove what runs have written, and the rendered world if `world`."""
    shutil.rmtree(project / "outputs" / "tiny", ignore_errors=True)
    if world:
        shutil.rmtree(project / "outputs" / "worlds")


def kill_at(project: Path, victim: str, moment: float, draw: random.Random) -> tuple[str, str]:
    """Kill one process of a call after some CPU seconds, or when there is one; what it was, and which runs were on.

    A call whose kernel died ends with an error and one whose worker died goes on; both are waited for.
    """
    client = start(project)
    while client.poll() is None:
        if cpu_seconds(client.pid) >= moment and (found := processes(client.pid, victim)):
            running = runs_on(project)
            os.kill(draw.choice(found), signal.SIGKILL)
            client.wait()
            return victim, ", ".join(running) or "none yet"
        time.sleep(0.1)
    return "none: the runs had ended", ""


def processes(client: int, victim: str) -> list[int]:
    """The processes of a call that are the client, workers or kernels."""
    if victim == "client":
        return [client]
    marks = {"worker": "multiprocessing.spawn", "kernel": "ipykernel_launcher"}
    found = []
    for process in psutil.Process(client).children(recursive=True):
        try:
            if any(marks[victim] in word for word in process.cmdline()):
                found.append(process.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def runs_on(project: Path) -> list[str]:
    """The runs that have begun and not ended."""
    folders = (path for path in (project / "outputs" / "tiny" / "sports").glob("*/") if path.name[0] != ".")
    return sorted(path.name for path in folders if not (path / "run.json").exists())


def until_done(project: Path) -> int:
    """How many calls it took until one said that all is up to date, itself included; 0 if none of TRIES did."""
    for number in range(1, TRIES + 1):
        start(project).wait()
        if "all 4 runs are up to date" in (project / "printed.txt").read_text(encoding="utf-8"):
            return number
    return 0


def results(project: Path) -> dict[str, bytes]:
    """The tables without how long it took, and the trained networks."""
    import pandas as pd

    outputs, found = project / "outputs" / "tiny", {}
    for path in sorted([*outputs.rglob("*.csv"), *outputs.rglob("*.safetensors")]):
        content = path.read_bytes()
        if path.suffix == ".csv":
            content = pd.read_csv(path, dtype=str).drop(columns="seconds", errors="ignore").to_csv().encode()
        found[path.relative_to(outputs).as_posix()] = content
    return found


def compare(right: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """The files that differ."""
    return sorted(name for name in right.keys() | found.keys() if right.get(name) != found.get(name))


if __name__ == "__main__":
    sys.exit(main())
