"""Times two implementations of the same work alternately in one process and reports their ratio."""

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
REPEATS = 7  # minimum; fast cases are repeated more often
BLOCK = 0.05  # minimal seconds per measurement
BUDGET = 2.0  # seconds per case, unless seven repeats take longer


class Missing(RuntimeError):
    """The library of a case is not installed; the message says how to get it."""


@dataclass(frozen=True)
class Case:
    """One comparison: `ours` and `reference` do the same work, `amount` units per call.

    A slow reference gets less, `reference_amount`. `details` adds to the notes what follows from our rate; `more` gives
    further rows of what was measured; `close` frees resources.
    """

    ours: Callable[[], object]
    reference: Callable[[], object]
    amount: float
    unit: str
    notes: str
    reference_amount: float | None = None
    details: Callable[[float], str] = lambda rate: ""
    more: Callable[[], Iterable[dict]] = tuple
    close: Callable[[], None] = lambda: None


def require(name: str) -> ModuleType:
    """Import a module that a case needs; `Missing` says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if name.startswith("fewpose"):
            raise Missing(f"this version has no {name}") from None
        package = name.split(".")[0]
        raise Missing(f"{package} is not installed: pip install -e .[benchmark]") from None


def threads() -> str:
    """The number of torch threads, for the notes."""
    count = torch.get_num_threads()
    return f"{count} thread{'s' * (count > 1)}"


def seconds(work: Callable[[], object], calls: int) -> float:
    """Mean seconds per call, pending GPU work included."""
    synchronise()
    start = time.perf_counter()
    for _ in range(calls):
        work()
    synchronise()
    return (time.perf_counter() - start) / calls


def synchronise() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def interleaved(case: Case, repeats: int | None = None) -> tuple[list[float], list[float]]:
    """Seconds per unit of ours and of the reference, measured alternately.

    Each is called once for warm-up; each measurement repeats the call for about `BLOCK` seconds.
    """
    sides = [(case.ours, case.amount), (case.reference, case.reference_amount or case.amount)]
    for work, _ in sides:
        work()  # warm-up: caches, compilation
    once = [seconds(work, 1) for work, _ in sides]
    calls = [max(1, math.ceil(BLOCK / s)) for s in once]
    pair = sum(s * c for s, c in zip(once, calls, strict=True))
    timings: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats or min(max(REPEATS, int(BUDGET / pair)), 3 * REPEATS)):
        for times, (work, amount), n in zip(timings, sides, calls, strict=True):
            times.append(seconds(work, n) / amount)
    return timings


def row(name: str, case: Case, timings: tuple[list[float], list[float]]) -> dict:
    """The row of a measured case: median rates in units per second, and the ratio ours / reference.

    The ratio is the median over pairs of neighbouring measurements; low and high are its quartiles.
    """
    frame = pd.DataFrame({"ours": timings[0], "reference": timings[1]})
    ratio = frame.reference / frame.ours
    low, middle, high = ratio.quantile([0.25, 0.5, 0.75])
    ours, reference = 1 / frame.median()
    notes = ", ".join(filter(None, (case.notes, case.details(ours))))
    return dict(zip(COLUMNS, (name, ours, reference, case.unit, middle, low, high, notes), strict=True))


def skipped(name: str, reason: str) -> dict:
    """The row of a case that could not be measured: the reason, and no numbers."""
    empty = {column: math.nan for column in COLUMNS}
    return {**empty, "name": name, "unit": "", "notes": f"skipped: {reason}"}


def run(cases: dict[str, Callable[[], Case]], repeats: int | None = None) -> Iterator[dict]:
    """Measure the cases one by one and yield their rows; a missing library is reported on stderr."""
    # glibc returns only blocks larger than the largest one freed so far: with a large one freed, as in a real
    # training, the tensors of the cases cause no page faults.
    torch.empty(31 * 2**20, dtype=torch.uint8)
    bar = tqdm(cases.items(), leave=False, unit="case")
    for name, build in bar:
        bar.set_description(name)
        try:
            case = build()
        except Missing as error:
            print(f"fewpose: {name} skipped: {error}", file=sys.stderr)
            yield skipped(name, str(error))
            continue
        try:
            yield row(name, case, interleaved(case, repeats))
            yield from case.more()
        finally:
            case.close()


def select(cases: dict[str, Callable[[], Case]], only: Iterable[str] | None) -> dict:
    """The cases whose names begin with one of `only` (all if empty); ValueError if there is none."""
    if not only:
        return cases
    for prefix in only:
        if not any(name.startswith(prefix) for name in cases):
            raise ValueError(f"no benchmark case begins with {prefix!r}: {', '.join(cases)}")
    return {name: case for name, case in cases.items() if name.startswith(tuple(only))}


def write(rows: list[dict], path: Path) -> None:
    """Write rows as CSV; cases of an earlier call that are not measured again stay."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    if path.exists():
        before = pd.read_csv(path)
        if set(before.name) - set(table.name):
            table = before.set_index("name").pipe(merged, table.set_index("name")).reset_index()
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.5g")


def merged(before: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Rows of both by name, new ones replacing old ones."""
    order = list(dict.fromkeys([*before.index, *new.index]))
    return pd.concat([before[~before.index.isin(new.index)], new]).loc[order]


def markdown(rows: pd.DataFrame | list[dict]) -> str:
    """Rows as a Markdown table: rates and ratios to three digits."""
    shown = []
    for r in pd.DataFrame(rows, columns=COLUMNS).itertuples():
        measured = not math.isnan(r.ratio)
        spread = f"{digits(r.ratio_low)} to {digits(r.ratio_high)}" if measured else ""
        shown.append(
            (r.name, digits(r.ours), digits(r.reference), r.unit if measured else "", digits(r.ratio), spread, r.notes)
        )
    head = ("case", "ours", "reference", "unit", "ratio", "quartiles", "notes")
    return pd.DataFrame(shown, columns=head).to_markdown(index=False, disable_numparse=True)


def digits(value: float) -> str:
    """A number to three digits, without an exponent; nothing for NaN."""
    if math.isnan(value):
        return ""
    places = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{round(value, places):,.{max(places, 0)}f}"
