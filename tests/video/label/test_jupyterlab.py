"""The labeller in a notebook in JupyterLab, in Chromium; skipped where there is no browser."""

import os
import re
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress

import nbformat
import numpy as np
import pytest

from browser import chromium
from fewpose_video.label.label_file import read_frames
from toy_labels import SIZE, write_toy_labels

SECONDS = 240  # a busy machine takes long to start a server and a kernel
CELL = """from fewpose_video.label.labeller import Labeller
Labeller("sport/annotations.json", "sport/images")"""


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab whose folder has one notebook, `label.ipynb`, and the labels in `sport/`."""
    path, truth = write_toy_labels(tmp_path / "sport")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL), nbformat.v4.new_code_cell("1 + 1")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "label.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", f"--port={port}", "--ServerApp.token=t", f"--ServerApp.root_dir={tmp_path}"]
    options += ["--ServerApp.port_retries=0", "--allow-root", "--LabApp.extension_manager=readonly"]
    jupyter = {f"JUPYTER_{name}_DIR": str(tmp_path / ".jupyter" / name) for name in ("CONFIG", "RUNTIME")}
    command = [sys.executable, "-m", "jupyter", "lab", *options, "--LabApp.news_url="]
    with open(tmp_path / "lab.log", "w") as log, chromium(viewport={"width": 1300, "height": 1000}) as context:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **jupyter})
        try:
            wait_for(f"http://127.0.0.1:{port}/api/status?token=t", server, tmp_path / "lab.log")
            context.set_default_timeout(1000 * SECONDS)
            yield context, f"http://127.0.0.1:{port}/lab/tree/label.ipynb?token=t", path, truth
        finally:
            server.terminate()
            server.wait(30)


def wait_for(address, server, log):
    for _ in range(10 * SECONDS):
        if server.poll() is not None:
            pytest.fail(f"JupyterLab ended: {log.read_text()[-2000:]}")
        with suppress(OSError):
            urllib.request.urlopen(address, timeout=10)
            return
        with suppress(subprocess.TimeoutExpired):
            server.wait(0.1)
    pytest.fail("JupyterLab does not answer")


def run_first_cell(page):
    page.get_by_text(re.compile(r"Python 3.*\| Idle")).wait_for()  # before, JupyterLab drops what is to run
    page.locator(".jp-Notebook .jp-Cell").first.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")


def on_screen(page, point):
    box = page.locator(".fp-stage img").bounding_box()
    return tuple(box[axis] + (float(point[i]) + 0.5) * box["width"] / SIZE[1] for i, axis in enumerate("xy"))


def saved(page, path):
    page.wait_for_function("() => document.querySelector('.fp-state')?.textContent === 'saved ✓'")
    return read_frames(path)[0].keypoints


def shown(page):
    page.wait_for_function("() => document.querySelector('.fp-stage img')?.naturalWidth > 0")
    circles = page.locator("circle[data-keypoint]")
    circles.first.wait_for()
    boxes = {c.get_attribute("data-keypoint"): c.bounding_box() for c in circles.all()}
    return {int(k): (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for k, box in boxes.items()}


def test_labels_survive_a_reload_and_keys_leave_the_notebook_alone(lab):
    context, address, path, truth = lab
    page = context.new_page()
    page.goto(address)
    run_first_cell(page)
    start = shown(page)[0]
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*on_screen(page, truth[0][0] + 6), steps=4)
    page.mouse.up()
    np.testing.assert_allclose(saved(page, path)[0, :2], truth[0][0] + 6, atol=0.4)
    page.locator(".fp-keypoint", has_text="left_hip").click()
    page.mouse.click(*on_screen(page, truth[0][2]))
    page.locator("[data-kind=labelled]").nth(1).wait_for()
    page.mouse.click(*on_screen(page, truth[0][3]), button="right")
    page.locator("[data-kind=occluded]").wait_for()
    assert page.locator(".lm-Menu").count() == 0, "JupyterLab's menu opened over the right click"
    for key in ("x", "d", "d", "z", "a", "b", "Enter"):  # JupyterLab: cut, delete, undo, insert above, below
        page.keyboard.press(key)
    page.get_by_text("run · frame 12").wait_for()
    assert page.locator(".jp-Notebook .jp-Cell").count() == 2
    before = read_frames(path)[0].keypoints
    assert before[:, 2].tolist() == [2, 2, 2, 1]
    np.testing.assert_allclose(before[2:, :2], truth[0][2:], atol=0.4)

    page.reload()
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    run_first_cell(page)
    page.get_by_text(re.compile("1 of 3 labelled")).first.wait_for()
    page.get_by_text("run · frame 12").wait_for()  # where it stopped
    page.locator(".fewpose-labeller").focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("run · frame 0").wait_for()
    for k, place in shown(page).items():
        np.testing.assert_allclose(place, on_screen(page, before[k]), atol=0.7)
    assert np.array_equal(read_frames(path)[0].keypoints, before)
