"""Copy the results of a finished profile to the committed ones, `outputs/reference/<name>`."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path

from PIL import Image

from fewpose.made_once import made_once
from fewpose_report.reference import write_readme
from fewpose_runs.profiles import read_notebook, shown
from fewpose_runs.runs import finished_runs, outputs

KEPT = ("run.json", "*.csv", "test/*")
MAX_BYTES = 1_000_000  # of an executed notebook: browsers show larger ones slowly, GitHub not at all
WIDTHS = (1200, 900, 600)  # of its figures in pixels: the first that makes it small enough
WIDGET = "application/vnd.jupyter.widget-view+json"


def keep_reference(profile: str, name: str, notebooks: bool = False) -> Path:
    """Copy report, manifests, rows, test results and figures of a finished profile; no weights.

    `notebooks`: the executed notebooks, each below 1 MB, in place of the runs' figures and test results. Replaces
    what `outputs/reference/<name>` held. ValueError if the profile has no report, an older version made one of its
    runs, or a notebook cannot be made small.
    """
    if not name.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"--name {name!r}: a folder of outputs/reference is named by letters, digits, _ and -")
    report, target = outputs() / profile / "report", outputs() / "reference" / name
    if not (report / "results.csv").is_file():
        raise ValueError(f"outputs/{profile} has no report: run `make reproduce PROFILE={profile}`")
    runs = finished_runs(profile)  # may raise, so before anything is replaced
    with made_once(target, lambda: False) as part:
        copy_results(runs, report, part, notebooks)
    target.with_name(f".{name}.lock").unlink(missing_ok=True)
    write_readme(target.parent)
    return target


def copy_results(runs: list[Path], report: Path, target: Path, notebooks: bool) -> None:
    """As `keep_reference`, into a new folder."""
    shutil.copytree(report, target / "report", ignore=shutil.ignore_patterns("*.pdf"))
    for run in runs:
        for path in (p for pattern in (*KEPT, "figures/*.png") for p in run.glob(pattern)):
            if not (notebooks and path.parent.name in ("figures", "test")):
                copy = target / path.relative_to(report.parent)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
        if notebooks:
            copy = target / run.relative_to(report.parent) / "notebook.ipynb"
            copy.write_text(small_notebook(run / "notebook.ipynb"), encoding="utf-8")
    for figure in target.rglob("*.png"):
        figure.write_bytes(min(figure.read_bytes(), palette_png(Image.open(figure)), key=len))


def small_notebook(path: Path) -> str:
    """An executed notebook as JSON of less than MAX_BYTES, to be read in a browser.

    Figures are palette PNG or JPEG, whichever is smaller, at the first of WIDTHS that is small enough. Progress bars,
    widgets, videos and execution times are left out. ValueError if it stays too large.
    """
    for width in WIDTHS:
        text = json.dumps(_small(read_notebook(path), width), indent=1, ensure_ascii=False) + "\n"
        if len(text.encode()) < MAX_BYTES:
            return text
    raise ValueError(f"{shown(path)} has {len(text.encode())} bytes even with figures of {width} pixels: show fewer")


def palette_png(image: Image.Image) -> bytes:
    """A PNG of at most 256 colours, transparent parts on white."""
    file = io.BytesIO()
    _on_white(image).quantize(256).save(file, "PNG", optimize=True)
    return file.getvalue()


def _small(notebook: dict, width: int) -> dict:
    notebook["metadata"] = {k: v for k, v in notebook["metadata"].items() if k in ("kernelspec", "language_info")}
    for cell in notebook["cells"]:
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k == "tags" and v}
        cell["source"] = re.sub(r"\n+\*\[An executed copy.*\*", "", "".join(cell["source"]))  # this file
        if cell["cell_type"] == "code":
            cell["outputs"] = [small for output in cell["outputs"] if (small := _small_output(output, width))]
    return notebook


def _small_output(output: dict, width: int) -> dict | None:
    """An output for the browser; None for progress bars and widgets, which do not work there."""
    if output["output_type"] == "stream":
        return output if output["name"] == "stdout" and "".join(output["text"]).strip() else None
    data = output.get("data", {})
    if data.pop(WIDGET, None) is not None and "image/png" not in data:
        return None
    if "<video" in "".join(data.get("text/html", "")):
        output["data"] = {"text/plain": "(A video, not part of this copy: run the notebook to see it.)"}
    elif "image/png" in data:
        kind, image = _small_image(base64.b64decode("".join(data.pop("image/png"))), width)
        data[kind] = base64.b64encode(image).decode()
        output["metadata"] = {}
    return output


def _small_image(png: bytes, width: int) -> tuple[str, bytes]:
    """MIME type and bytes: a palette PNG of drawings, a JPEG of photographs."""
    image = _on_white(Image.open(io.BytesIO(png)))
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return min(("image/png", palette_png(image)), ("image/jpeg", file.getvalue()), key=lambda kind: len(kind[1]))


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
