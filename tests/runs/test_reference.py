import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from fewpose_runs import reference


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def drawing() -> np.ndarray:
    image = np.full((200, 300, 4), 255, np.uint8)
    image[50:60, :, :3] = (200, 30, 30)
    image[:, -20:, 3] = 0  # transparent
    return image


def photograph(width: int = 1600) -> np.ndarray:
    y, x = np.mgrid[:400, :width]
    image = np.stack([np.sin(x / 40), np.cos(y / 30), np.sin((x + y) / 50)], -1) * 90 + 120
    return (image + np.random.default_rng(0).normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)


def executed(tmp_path, *outputs: dict):
    """An executed notebook as papermill leaves it."""
    timing = {"papermill": {"start_time": "2026-01-01", "duration": 1.0}, "tags": []}
    code = {"cell_type": "code", "metadata": timing, "source": ["1"], "execution_count": 1, "outputs": list(outputs)}
    path = tmp_path / "notebook.ipynb"
    about = {"kernelspec": {"name": "python3"}, "papermill": {"output_path": "/a/machine/s/path"}}
    path.write_text(json.dumps({"cells": [code], "metadata": about, "nbformat": 4, "nbformat_minor": 5}))
    return path


def shown_image(image: np.ndarray) -> dict:
    data = {"image/png": base64.b64encode(png(image)).decode(), "text/plain": ["<Figure>"]}
    return {"output_type": "display_data", "metadata": {"image/png": {"width": 9}}, "data": data}


def first_image(text: str) -> tuple[str, np.ndarray]:
    (output,) = json.loads(text)["cells"][0]["outputs"]
    kind = next(kind for kind in output["data"] if kind.startswith("image/"))
    return kind, np.array(Image.open(io.BytesIO(base64.b64decode(output["data"][kind]))).convert("RGB"))


def test_a_drawing_becomes_a_palette_png_on_white_that_looks_the_same(tmp_path):
    kind, image = first_image(reference.small_notebook(executed(tmp_path, shown_image(drawing()))))
    assert kind == "image/png"
    expected = drawing()[..., :3]
    expected[:, -20:] = 255
    assert (image == expected).all()


def test_a_photograph_becomes_a_jpeg_of_at_most_1200_pixels(tmp_path):
    kind, image = first_image(reference.small_notebook(executed(tmp_path, shown_image(photograph()))))
    assert kind == "image/jpeg" and image.shape == (300, 1200, 3)
    expected = np.array(Image.fromarray(photograph()).resize((1200, 300), Image.Resampling.LANCZOS)).astype(float)
    assert abs(image - expected).mean() < 4


def test_what_a_browser_cannot_use_is_left_out(tmp_path):
    outputs = (
        {"output_type": "stream", "name": "stderr", "text": ["100%|███|"]},
        {"output_type": "stream", "name": "stdout", "text": ["   \n"]},
        {"output_type": "stream", "name": "stdout", "text": ["50 labelled frames\n"]},
        {"output_type": "display_data", "metadata": {}, "data": {reference.WIDGET: {}, "text/plain": ["Box()"]}},
        {"output_type": "display_data", "metadata": {}, "data": {"text/html": ["<video src='data:'>"]}},
        {"output_type": "execute_result", "metadata": {}, "data": {"text/html": ["<table></table>"]}},
    )
    notebook = json.loads(reference.small_notebook(executed(tmp_path, *outputs)))
    (cell,) = notebook["cells"]
    text, video, table = cell["outputs"]
    assert text["text"] == ["50 labelled frames\n"]
    assert list(video["data"]) == ["text/plain"] and "run the notebook" in video["data"]["text/plain"]
    assert table == outputs[-1]
    assert notebook["metadata"] == {"kernelspec": {"name": "python3"}} and cell["metadata"] == {}


def test_the_copy_does_not_link_to_itself(tmp_path):
    path = executed(tmp_path)
    notebook = json.loads(path.read_text())
    link = "*[An executed copy with its figures](../outputs/x/notebook.ipynb), from `make reproduce`.*"
    title = {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "\n", "Text.\n", "\n", link]}
    path.write_text(json.dumps(notebook | {"cells": [title, *notebook["cells"]]}))
    copy = json.loads(reference.small_notebook(path))
    assert copy["cells"][0]["source"] == "# Title\n\nText."


def test_figures_shrink_until_the_notebook_is_small_enough(tmp_path, monkeypatch):
    path = executed(tmp_path, shown_image(photograph()))
    whole = len(reference.small_notebook(path).encode())
    monkeypatch.setattr(reference, "MAX_BYTES", whole)  # must be less
    assert first_image(reference.small_notebook(path))[1].shape == (225, 900, 3)
    monkeypatch.setattr(reference, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="bytes even with figures of 600 pixels: show fewer"):
        reference.small_notebook(path)


def test_only_small_results_of_finished_runs_are_kept(tmp_path, monkeypatch):
    run = tmp_path / "mine" / "sports" / "a"
    for folder in ("figures", "checkpoints", "test"):
        (run / folder).mkdir(parents=True)
    for name in ("run.json", "metrics.csv", "figures/x.png", "figures/x.pdf", "test/a.npz", "checkpoints/net.pt"):
        (run / name).write_text(json.dumps({"seed": 0, "device": "cpu", "seconds": 1}))
    (run / "figures" / "x.png").write_bytes(png(photograph(300)))
    executed(run, shown_image(drawing()))
    monkeypatch.setattr(reference, "outputs", lambda: tmp_path)
    monkeypatch.setattr(reference, "finished_runs", lambda profile: [run])
    for name in ("../precious", ".", "", str(tmp_path)):  # it replaces what is there
        with pytest.raises(ValueError, match="is named by letters, digits"):
            reference.keep_reference("mine", name)
    with pytest.raises(ValueError, match="outputs/mine has no report"):
        reference.keep_reference("mine", "ours")
    (tmp_path / "mine" / "report").mkdir()
    (tmp_path / "mine" / "report" / "results.csv").write_text("value\n1\n")
    (tmp_path / "reference" / "ours").mkdir(parents=True)
    (tmp_path / "reference" / "ours" / "stale.csv").touch()

    kept = reference.keep_reference("mine", "ours")
    files = sorted(p.relative_to(kept).as_posix() for p in kept.rglob("*") if p.is_file())
    assert files == [
        "report/results.csv",
        "sports/a/figures/x.png",
        "sports/a/metrics.csv",
        "sports/a/run.json",
        "sports/a/test/a.npz",
    ]
    assert len((kept / "sports/a/figures/x.png").read_bytes()) < len((run / "figures/x.png").read_bytes())

    kept = reference.keep_reference("mine", "ours", notebooks=True)
    assert sorted(p.name for p in (kept / "sports/a").iterdir()) == ["metrics.csv", "notebook.ipynb", "run.json"]
