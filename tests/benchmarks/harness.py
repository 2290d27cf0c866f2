"""Two implementations of the same work, timed in turn in one process, and their ratio."""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pandas as pd
import torch
from tqdm.auto import tqdm

COLUMNS = ("name", "ours", "reference", "unit", "ratio", "ratio_low", "ratio_high", "notes")
REPEATS = 7  # at the least; quick lines are repeated more often
BLOCK = 0.05  # seconds that one measurement takes at the least
BUDGET = 2.0  # seconds for a line, unless seven repeats take longer


class Missing(RuntimeError):
    """What a line compares with is not there; the message says which and how to get it."""


@dataclass(frozen=True)
class Line:
    """One comparison: `ours` and `reference` do the same work, `amount` units of it a call.

    `reference_amount` is for references so slow that they get less to do. `about`, given our rate,
    adds to the notes what only the measurement tells; `close` frees what the line holds.
    """

    ours: Callable[[], object]
    reference: Callable[[], object]
    amount: float
    unit: str
    notes: str
    reference_amount: float | None = None
    about: Callable[[float], str] = lambda rate: ""
    close: Callable[[], None] = lambda: None


def needed(name: str) -> ModuleType:
    """A module that a line compares with, or is about; `Missing` says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if name.startswith("fewpose"):
            raise Missing(f"this version has no {name}") from None
        package = name.split(".")[0]
        raise Missing(f"{package} is not installed: pip install -e .[benchmark]") from None


def threads() -> str:
    """How many threads there are, as notes say it."""
    count = torch.get_num_threads()
    return f"{count} thread{'s' * (count > 1)}"


def seconds(work: Callable[[], object], calls: int) -> float:
    """Seconds that one of `calls` calls takes, what a GPU still does counted in."""
    synchronise()
    began = time.perf_counter()
    for _ in range(calls):
        work()
    synchronise()
    return (time.perf_counter() - began) / calls


def synchronise() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def interleaved(line: Line, repeats: int | None = None) -> tuple[list[float], list[float]]:
    """Seconds a unit of ours and of the reference, measured in turn: ours, reference, ours, …

    Each is called once before, and each measurement calls it until `BLOCK` seconds have passed.
    """
    sides = [(line.ours, line.amount), (line.reference, line.reference_amount or line.amount)]
    for work, _ in sides:
        work()  # the first call fills caches, and compiles
    once = [seconds(work, 1) for work, _ in sides]
    calls = [max(1, math.ceil(BLOCK / s)) for s in once]
    pair = sum(s * c for s, c in zip(once, calls, strict=True))
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats or min(max(REPEATS, int(BUDGET / pair)), 3 * REPEATS)):
        for list_, (work, amount), n in zip(spent, sides, calls, strict=True):
            list_.append(seconds(work, n) / amount)
    return spent


def row(name: str, line: Line, spent: tuple[list[float], list[float]]) -> dict:
    """The row of a measured line: median rates, units a second, and the ratio ours / reference.

    The ratio is the median over the pairs of neighbouring measurements, from low to high its
    middle half.
    """
    frame = pd.DataFrame({"ours": spent[0], "reference": spent[1]})
    ratio = frame.reference / frame.ours
    low, middle, high = ratio.quantile([0.25, 0.5, 0.75])
    ours, reference = 1 / frame.median()
    notes = ", ".join(filter(None, (line.notes, line.about(ours))))
    return dict(zip(COLUMNS, (name, ours, reference, line.unit, middle, low, high, notes), strict=True))


def left_out(name: str, reason: str) -> dict:
    """The row of a line that could not be measured: no numbers, and why."""
    empty = {column: math.nan for column in COLUMNS}
    return {**empty, "name": name, "unit": "", "notes": f"left out: {reason}"}


def run(lines: dict[str, Callable[[], Line]], repeats: int | None = None) -> Iterator[dict]:
    """The row of each line once it is measured; a reference that is missing is told on stderr."""
    # glibc keeps freed memory below its largest freed block: as in a training, where larger
    # tensors came before, the lines' own then cost no page faults.
    torch.empty(31 * 2**20, dtype=torch.uint8)
    bar = tqdm(lines.items(), leave=False, unit="line")
    for name, build in bar:
        bar.set_description(name)
        try:
            line = build()
        except Missing as error:
            print(f"fewpose: {name} is left out: {error}", file=sys.stderr)
            yield left_out(name, str(error))
            continue
        try:
            yield row(name, line, interleaved(line, repeats))
        finally:
            line.close()


def chosen(lines: dict[str, Callable[[], Line]], only: Iterable[str] | None) -> dict:
    """The lines named by `only`, whole or by how they begin; ValueError for one that is not."""
    if not only:
        return lines
    for start in only:
        if not any(name.startswith(start) for name in lines):
            raise ValueError(f"no line of the benchmark begins with {start!r}: {', '.join(lines)}")
    return {name: line for name, line in lines.items() if name.startswith(tuple(only))}


def write(rows: list[dict], path: Path) -> None:
    """Write rows as CSV; lines of an earlier call that are not among them stay."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    if path.exists():
        before = pd.read_csv(path)
        if set(before.name) - set(table.name):
            table = before.set_index("name").pipe(merged, table.set_index("name")).reset_index()
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.5g")


def merged(before: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Rows of both by name, the new ones in place of their old selves."""
    order = list(dict.fromkeys([*before.index, *new.index]))
    return pd.concat([before[~before.index.isin(new.index)], new]).loc[order]


def markdown(rows: pd.DataFrame | list[dict]) -> str:
    """Rows as a table for reading: rates and ratios to three digits."""
    lines = []
    for r in pd.DataFrame(rows, columns=COLUMNS).itertuples():
        measured = not math.isnan(r.ratio)
        spread = f"{digits(r.ratio_low)} to {digits(r.ratio_high)}" if measured else ""
        lines.append(
            (r.name, digits(r.ours), digits(r.reference), r.unit if measured else "", digits(r.ratio), spread, r.notes)
        )
    head = ("line", "ours", "reference", "unit", "ratio", "middle half", "notes")
    return pd.DataFrame(lines, columns=head).to_markdown(index=False, disable_numparse=True)


def digits(value: float) -> str:
    """A number to three digits, without an exponent; nothing for NaN."""
    if math.isnan(value):
        return ""
    places = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{round(value, places):,.{max(places, 0)}f}"
