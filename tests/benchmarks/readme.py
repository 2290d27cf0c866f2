"""Fills the table in this folder's README from the committed measurements."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from fewpose_runs.profiles import repo_root

from .harness import digits

BETWEEN = re.compile(r"(<!-- benchmark:[^>]*-->\n).*?(<!-- end of benchmark -->)", re.S)


def table(path: Path) -> str:
    """The measured cases of a CSV file: name, ratio with its quartiles, our rate, notes."""
    rows = [
        (
            r.name,
            f"{digits(r.ratio)} ({digits(r.ratio_low)} to {digits(r.ratio_high)})",
            f"{digits(r.ours)} {r.unit}",
            r.notes,
        )
        for r in pd.read_csv(path).dropna(subset="ratio").itertuples(index=False)
    ]
    head = ("case", "ours / reference", "ours", "reference and conditions")
    return pd.DataFrame(rows, columns=head).to_markdown(index=False, disable_numparse=True)


def filled(text: str, folder: Path) -> str:
    """The README's text with a table for each device that has measurements in `folder`."""
    files = sorted(folder.glob("*.csv"))
    tables = "\n\n".join(f"On {path.stem.upper()}:\n\n{table(path)}" for path in files)
    return BETWEEN.sub(lambda m: f"{m[1]}\n{tables}\n\n{m[2]}" if files else m[1] + m[2], text)


if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md")
    folder = repo_root() / "outputs" / "reference" / "benchmarks"
    readme.write_text(filled(readme.read_text(encoding="utf-8"), folder), encoding="utf-8")
