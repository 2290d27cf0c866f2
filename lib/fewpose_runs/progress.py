"""What `reproduce` prints: the output of all notebooks that are running, line by line."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm


class Progress:
    """Prints whole lines of each run, after its name; on a terminal below them the latest line of each running one.

    Of a progress bar, which a notebook redraws in one line, a terminal shows the latest state, a file each.
    """

    def __init__(self, heads: dict[str, str]):
        self.heads = heads  # of each run, what to print when it starts
        self.parts: dict[tuple[str, str], str] = {}  # of run and stream, the line that has no end yet
        self.live: dict[str, tqdm] = {}
        self.started: dict[str, float] = {}

    def event(self, event: tuple[float, dict]) -> None:
        """Take a message of a worker: a run starts, or its notebook has printed something."""
        run, kind, text = (event[1][key] for key in ("run", "kind", "text"))
        if kind == "start":
            self.start(run)
        else:
            self.write(run, kind, text)

    def seconds(self, run: str) -> float | None:
        """The time since a run started; None if it did not."""
        return time.monotonic() - self.started[run] if run in self.started else None

    def start(self, run: str) -> None:
        self.started[run] = time.monotonic()
        self.line(self.heads[run])
        if sys.stderr.isatty() and run not in self.live:
            self.live[run] = tqdm(total=0, bar_format="{desc}", leave=False, dynamic_ncols=True)
            self.live[run].set_description_str(f"{run} │")

    def end(self, run: str, text: str) -> None:
        """Print how a run ended, below its last line."""
        for kind in ("stdout", "stderr"):
            if self.parts.get((run, kind), "").strip():
                self.write(run, kind, "\n")
        if run in self.live:
            self.live.pop(run).close()
        self.line(text)

    def write(self, run: str, kind: str, text: str) -> None:
        *lines, rest = (self.parts.get((run, kind), "") + text).replace("\r\n", "\n").split("\n")
        for line in lines:
            if shown := _last_state(line):
                self.line(f"{run} │ {shown}", kind)
        self.parts[run, kind] = rest if "\r" not in rest else "\r" + _last_state(rest)
        if "\r" in rest and (state := _last_state(rest)):
            if run in self.live:
                self.live[run].set_description_str(f"{run} │ {state}")
            else:
                self.line(f"{run} │ {state}", kind)
                self.parts[run, kind] = ""

    def line(self, text: str, kind: str = "stdout") -> None:
        file = sys.stderr if kind == "stderr" else sys.stdout
        tqdm.write(text, file=file)
        file.flush()

    def close(self) -> None:
        for bar in self.live.values():
            bar.close()
        self.live.clear()


def _last_state(line: str) -> str:
    """A line as a terminal shows it in the end: what follows the last carriage return."""
    states = [state.rstrip() for state in line.split("\r")]
    return next((state for state in reversed(states) if state), "")
