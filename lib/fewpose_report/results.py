"""What the reports of both papers share: the files of finished runs, their example images, and tables."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pandas as pd
import torch
from torch import Tensor

from fewpose import LAYOUT
from fewpose.data.images import write_image
from fewpose.disk import write_text


def published(paper: str) -> pd.DataFrame:
    """The numbers of the tables of "sports" or "operating_room" as published.

    Columns table, method, labels (3154 are all), images, iteration, scale, metric, value.
    """
    table = pd.read_csv(Path(__file__).parent / "published.csv")
    return table[table["paper"] == paper].drop(columns="paper")


def finished_folders(root: Path) -> list[Path]:
    """Folders below `root` with a finished run.json; ValueError if an older version of fewpose wrote one."""
    folders = sorted(path.parent for path in Path(root).rglob("run.json"))
    for folder in folders:
        if json.loads((folder / "run.json").read_text(encoding="utf-8")).get("layout") != LAYOUT:
            raise ValueError(f"{folder} was made by an older version of fewpose: run its profile again, or delete it")
    return folders


def saved_files(root: Path) -> list[Path]:
    """The files `test/*.npz` of all finished runs below `root`, in order; ValueError if there is none."""
    paths = sorted(path for folder in finished_folders(root) for path in folder.glob("test/*.npz"))
    if not paths:
        raise ValueError(f"{root} holds no finished run with test results: run some first")
    return paths


def example_indices(frames: int, examples: int) -> Tensor:
    """Indices of `examples` frames evenly spread over the test, without its first and last."""
    return torch.linspace(0, frames - 1, examples + 2).long()[1:-1]


def write_examples(frames: Tensor, path: Path, quality: int = 95) -> None:
    """Frames [N, 3, H, W] side by side as a JPEG."""
    strip = torch.cat(list(frames), dim=2).permute(1, 2, 0).numpy()
    write_image(path, strip, quality)


def read_examples(path: Path, examples: int) -> Tensor | None:
    """The frames [examples, 3, H, W] of `write_examples`; None where there is no such file."""
    if not path.exists():
        return None
    strip = cv2.imread(str(path))
    frames = torch.from_numpy(strip[..., ::-1].copy()).permute(2, 0, 1)
    return torch.stack(frames.chunk(examples, dim=2))


def skipped_inputs(root: Path) -> pd.DataFrame:
    """What the finished runs below `root` could not read (broken videos, images, labels): columns run and skipped."""
    rows = []
    for folder in finished_folders(root):
        manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        rows += [{"run": folder.name, "skipped": text} for text in manifest.get("skipped", [])]
    return pd.DataFrame(rows, columns=["run", "skipped"])


def read_metrics(root: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """The metrics.csv of all finished runs below `root`, concatenated; ValueError if there is none."""
    paths = [f / "metrics.csv" for f in finished_folders(root)]
    tables = [t for t in (pd.read_csv(p) for p in paths if p.exists()) if len(t)]
    if not tables:
        raise ValueError(f"{root} holds no metrics of a finished run: run some first")
    return pd.concat(tables, ignore_index=True)[list(columns)]


def range_text(low: float, high: float) -> str:
    """An interval as text; "no interval" where it is NaN."""
    return "no interval" if pd.isna(low) else f"{low:.1f} to {high:.1f}"


def markdown(table: pd.DataFrame) -> str:
    """The table as Markdown, missing values empty, all numbers of a column with the most decimals that one needs."""
    text = pd.DataFrame({name: _cells(table[name]) for name in table.columns}, dtype=object)
    right = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    align = ["right" if numbers else "left" for numbers in right]
    return text.to_markdown(index=False, disable_numparse=True, colalign=align if len(text) else None) + "\n"


def _cells(column: pd.Series) -> list[str]:
    given = column[column.notna()]
    numbers = pd.api.types.is_float_dtype(column)
    decimals = max((len(f"{v:.4f}".rstrip("0").split(".")[1]) for v in given), default=0) if numbers else 0
    return ["" if pd.isna(v) else f"{v + 0.0:.{decimals}f}" if numbers else plain(str(v)) for v in column]


def plain(text: str) -> str:
    """Text for Markdown that is neither HTML nor a border of a table."""
    return text.replace("<", "&lt;").replace("|", "\\|")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Save a table without its index, whole or not at all."""
    write_text(path, table.to_csv(index=False))


def write_table(table: pd.DataFrame, folder: Path, name: str) -> None:
    """Save a table as `<name>.csv` and `<name>.md`."""
    write_csv(table, folder / f"{name}.csv")
    write_text(folder / f"{name}.md", markdown(table))
