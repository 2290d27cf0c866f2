"""Chromium for tests, and the labeller in it without Jupyter: the page's messages go to a real `Labeller`."""

import base64
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from fewpose_video.label import labeller as module

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")

MODEL = """
const listeners = {}, traits = {};
const fire = (event, ...values) => (listeners[event] ?? []).forEach((listener) => listener(...values));
window.apply = ({ state, messages }) => {
  const bytes = Uint8Array.from(atob(state.image), (c) => c.charCodeAt(0));
  const old = { ...traits };
  Object.assign(traits, state, { image: bytes });
  for (const name of ["status", "frame"])
    if (JSON.stringify(old[name]) !== JSON.stringify(traits[name])) fire(`change:${name}`);
  messages.forEach((message) => fire("msg:custom", message));
};
window.model = {
  get: (name) => traits[name],
  on: (event, listener) => (listeners[event] ??= []).push(listener),
  off: (event, listener) => (listeners[event] = (listeners[event] ?? []).filter((other) => other !== listener)),
  send: (message) => window.toPython(message).then(window.apply),
};
"""


@contextmanager
def chromium(**options):
    """A browser context of Playwright; the test is skipped, with the reason, where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e .[test]")
    with playwright.sync_playwright() as started:
        path = next(filter(None, map(shutil.which, NAMES)), None)
        try:
            browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium starts: {str(error).splitlines()[0]}")
        context = browser.new_context(**options)
        context.set_default_timeout(30_000)
        try:
            yield context
        finally:
            browser.close()


def show(context, labeller):
    """A page with the labeller; `labeller` gets its messages."""
    replies = []
    labeller.send = replies.append

    def state():
        names = ("skeleton", "files", "status", "frame")
        sent = {name: getattr(labeller, name) for name in names}
        messages = [replies.pop(0) for _ in range(len(replies))]
        return {"state": sent | {"image": base64.b64encode(labeller.image).decode()}, "messages": messages}

    def to_python(message):
        labeller._message(None, message, None)
        return state()

    page = context.new_page()
    page.expose_function("toPython", to_python)
    folder = Path(module.__file__).parent
    style = (folder / "labeller.css").read_text(encoding="utf-8")
    page.set_content(f"<!doctype html><style>body {{ margin: 8px }} {style}</style><div id=cell></div>")
    page.evaluate(MODEL)
    page.evaluate("(all) => window.apply(all)", state())
    script = (folder / "labeller.js").read_text(encoding="utf-8").replace("export default", "window.widget =")
    page.add_script_tag(content=script)
    page.evaluate("() => void window.widget.render({ model: window.model, el: document.getElementById('cell') })")
    page.wait_for_function("() => document.querySelector('.fp-stage img').naturalWidth > 0")
    return page
