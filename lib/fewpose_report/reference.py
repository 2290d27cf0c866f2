"""The page about the committed results, `outputs/reference/README.md`: the text of reference.md with their numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fewpose.disk import write_text
from fewpose_report.results import markdown
from fewpose_report.sports.pck_results import ORDER, name_of
from fewpose_report.sports.pck_tables import gap_table

_UNLABELLED, _HEAD = "unlabelled images", "unlabelled images, published head"
_ONE = "1 network, 1 view"
# Method → what it learns from besides its labels, what predicts on a test frame.
USES = {
    "supervised": ("", _ONE),
    "pseudo labels": (_UNLABELLED, _ONE),
    "pseudo labels video": (f"{_UNLABELLED}, video frames", _ONE),
    "mean teacher": (_UNLABELLED, _ONE),
    "mean teacher video": (f"{_UNLABELLED}, video frames", _ONE),
    "ensemble": (_HEAD, _ONE),
    "ensemble views": (_HEAD, "network in 6 views, published head in 1"),
    "ensemble voting": (_HEAD, "network in 6 views, published head in 4"),
    "published head": (_HEAD, "published head in 4 views, network in 1"),
}


def write_readme(folder: Path) -> Path:
    """Write `reference_readme(folder)` into the folder."""
    path = Path(folder) / "README.md"
    write_text(path, reference_readme(folder))
    return path


def reference_readme(folder: Path) -> str:
    """The page for `folder`, which has a folder for each profile; a profile without one has no section.

    Lines `{name path ...}` of the text are replaced by the result of a function in _PARTS for the file, or by nothing
    if there is no such file. Profiles that the text does not mention are added at the end.
    """
    folder = Path(folder)
    sections = re.split(r"^(?=## )", Path(__file__).with_suffix(".md").read_text(encoding="utf-8"), flags=re.M)

    def fill(match: re.Match) -> str:
        name, path, rest = match.groups()
        return _PARTS[name](folder / path, path, rest.strip()) if (folder / path).exists() else ""

    named = {s: m[1] for s in sections if (m := re.match(r"## `(\w+)`", s))}
    shown = [s for s in sections if s not in named or (folder / named[s]).is_dir()]
    others = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name not in named.values())
    shown += [f"\n## `{name}`\n\n{{runs {name}}}\n{{notebooks {name}}}\n" for name in others]
    text = re.sub(r"^\{(\w+) (\S+)(.*)\}\n", fill, "".join(shown), flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _runs(profile: Path, *_) -> str:
    """The number of runs, their seeds, and the seconds on each kind of machine."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(profile.rglob("run.json"))]
    if not runs:
        return ""
    seeds = ", ".join(str(seed) for seed in sorted({run["seed"] for run in runs}))
    table = pd.DataFrame(runs).groupby("device")["seconds"].agg(["size", "sum"])
    parts = [f"{row['size']:.0f} on {device} in {row['sum']:,.0f} s" for device, row in table.iterrows()]
    count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    return f"\n{count}, seed {seeds}, {table['sum'].sum():,.0f} s in all: {'; '.join(parts)}.\n"


def _sports(path: Path, *_) -> str:
    table = pd.read_csv(path)
    learns, predicts = zip(*(USES[method] for method in table["method"]), strict=True)
    table.insert(3, "learns from", learns)
    table.insert(4, "predicts", predicts)
    return markdown(table)


def _gaps(path: Path, *_) -> str:
    rows = pd.read_csv(path).query("metric == 'gap_closed'").fillna({"iteration": 0}).astype({"iteration": int})
    rows = rows[rows["labels"] == rows["labels"].min()]
    rows = rows.sort_values("method", key=lambda names: names.map(ORDER.index), kind="stable")
    table = gap_table(rows.to_dict("records")).round(1)
    shown = {"method": table["method"].map(name_of), "iteration": table["iteration"].where(table["iteration"] > 0)}
    return markdown(table.assign(**shown))


def _over(path: Path, _, baseline: str) -> str:
    table = pd.read_csv(path)
    return markdown(table[table["over"] == baseline])


def _table(path: Path, *_) -> str:
    return markdown(pd.read_csv(path))


def _people(path: Path, *_) -> str:
    """A row per method and resolution, a column per metric; the costs of networks below."""
    table = pd.read_csv(path)
    table["cell"] = [_cell(row) for row in table.to_dict("records")]
    table["seeds"] = [f"{seeds:.0f}".replace("nan", "") for seeds in table["seeds"]]
    rows = table.dropna(subset="scale")
    wide = rows.pivot_table("cell", ["method", "scale", "seeds"], "metric", aggfunc="first", sort=False)
    costs = table[table["scale"].isna()][["method", "metric", "paper", "ours", "difference"]]
    return markdown(wide.reset_index()) + (f"\n{markdown(costs)}" if len(costs) else "")


def _cell(row: dict) -> str:
    """paper / ours (interval) / difference, as far as they are known."""
    if pd.isna(row["ours"]):
        return f"{row['paper']:.1f} / not run"
    ours = f"{row['ours']:.1f} ({row['95 % interval']})"
    return ours if pd.isna(row["paper"]) else f"{row['paper']:.1f} / {ours} / {row['difference']:+.1f}"


def _metrics(path: Path, *_) -> str:
    table = pd.read_csv(path).dropna(axis=1, how="all")
    names = [c for c in ("method", "dataset", "scale", "metric", "at", "value", "ci_low", "ci_high", "n") if c in table]
    return markdown(table[names].round({"value": 1, "ci_low": 1, "ci_high": 1}))


def _figure(_, path: str, caption: str) -> str:
    return f"![{caption}]({path})\n*{caption}.*\n\n"


def _notebooks(profile: Path, name: str, _) -> str:
    """Links to the executed notebooks of the profile, if there are any."""
    paths = sorted(profile.rglob("notebook.ipynb"))
    links = [f"[{p.parent.name}]({name}/{p.relative_to(profile).as_posix()})" for p in paths]
    return f"\nExecuted notebooks: {', '.join(links)}.\n" if links else ""


_PARTS: dict[str, Callable[[Path, str, str], str]] = {
    "runs": _runs,
    "sports": _sports,
    "gaps": _gaps,
    "over": _over,
    "table": _table,
    "people": _people,
    "metrics": _metrics,
    "figure": _figure,
    "notebooks": _notebooks,
}
