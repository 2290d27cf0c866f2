"""A report as one HTML file that needs nothing else: no script, no network; and as PDF where there is a Chromium."""

from __future__ import annotations

import base64
import glob
import html
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from fewpose_report.viewer import png

# Nothing but what is in the file is loaded or run, whatever strings are in it.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem; break-after: avoid }
img { max-width: 100%; break-inside: avoid } tr { break-inside: avoid }
table { border-collapse: collapse; font-size: 13px } th, td { padding: 2px 10px 2px 0; text-align: left }
th { border-bottom: 1px solid #888 }
"""
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PLACES = (
    "~/.cache/ms-playwright/chromium*/chrome-linux*/*chrome*",
    "~/Library/Caches/ms-playwright/chromium*/chrome-mac*/*.app/Contents/MacOS/*",
    "~/AppData/Local/ms-playwright/chromium*/chrome-win*/chrome.exe",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files*/Google/Chrome/Application/chrome.exe",
    "C:/Program Files*/Microsoft/Edge/Application/msedge.exe",
)
TIMEOUT = 120  # seconds for the PDF

Part = str | pd.DataFrame | Figure | bytes


def write_html(path: Path, title: str, sections: Iterable[tuple[str, Sequence[Part]]]) -> Path:
    """Write headings with what is below each: paragraphs, tables, figures and PNG images; strings are escaped."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    for heading, parts in sections:
        body += [f"<h2>{html.escape(heading)}</h2>", *map(as_html, parts)]
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    text = "\n".join(body)
    page = f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{text}\n</body></html>\n'
    path.write_text(page, encoding="utf-8")
    return path


def as_html(part: Part) -> str:
    """One part of a section."""
    if isinstance(part, str):
        return f"<p>{html.escape(part)}</p>"
    if isinstance(part, pd.DataFrame):
        header = table_row(part.columns, "th")
        return f"<table>{header}{''.join(table_row(row, 'td') for row in part.itertuples(index=False))}</table>"
    image = base64.b64encode(png(part) if isinstance(part, Figure) else part).decode()
    return f'<img alt="" src="data:image/png;base64,{image}">'


def table_row(cells: Iterable, tag: str) -> str:
    """A row of a table."""
    return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"


def write_pdf(page: Path, path: Path) -> str:
    """Print an HTML file as PDF with an installed Chromium, Chrome or Edge; a sentence says what came of it."""
    browser = find_chromium()
    if browser is None:
        return "No PDF: there is no Chromium, Chrome or Edge here. Open the HTML file in a browser and print it."
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        options += [f"--user-data-dir={profile}", "--no-pdf-header-footer", f"--print-to-pdf={path.resolve()}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--no-sandbox")  # it refuses to run as root with it; the page runs no scripts
        try:
            done = subprocess.run(
                [browser, *options, page.resolve().as_uri()], capture_output=True, text=True, timeout=TIMEOUT
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"No PDF: {browser} failed ({type(error).__name__}). Open the HTML file in a browser and print it."
    if done.returncode or not path.is_file():
        return f"No PDF: {browser} failed. Open the HTML file in a browser and print it."
    return f"PDF: {path.name}"


def find_chromium() -> str | None:
    """An installed Chromium or its kin, the one of Playwright too."""
    named = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    places = (found for place in PLACES for found in sorted(glob.glob(os.path.expanduser(place))))
    return named or next(places, None)
