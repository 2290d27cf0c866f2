"""The report: one file, no script, nothing from elsewhere; strings of the user stay strings."""

import base64
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from fewpose_report import html_report
from fewpose_report.html_report import find_chromium, write_html, write_pdf

EVIL = "<script>alert(1)</script>.mp4"
EVENT = '"><img src=x onerror="alert(1)">'


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


def report(path):
    fig = plt.figure(figsize=(2, 1))
    table = pd.DataFrame({"event": [EVENT, "left & right"], EVIL: [1.5, "5 < 6"]})
    return write_html(path, EVIL, [(EVENT, [f"note: {EVIL}", table, fig])])


def test_strings_of_the_user_are_harmless(tmp_path):
    parser = Tags()
    parser.feed(report(tmp_path / "r.html").read_text(encoding="utf-8"))
    names = [tag for tag, _ in parser.tags]
    assert set(names) == set("html head meta title style body h1 h2 p table tr th td img".split())
    assert not [a for _, attributes in parser.tags for a in attributes if a.startswith("on")]
    assert parser.text.count(EVIL) == 3  # title, heading, column
    assert EVENT in parser.text and "left & right" in parser.text and "5 < 6" in parser.text


def test_everything_is_in_the_file(tmp_path):
    text = report(tmp_path / "r.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href|url|@import)\s*[=(]\s*["\']?([^"\')>\s]+)', text.replace("&quot;", '"'))
    images = re.findall(r'<img alt="" src="data:image/png;base64,([^"]+)">', text)
    assert len(images) == 1 and base64.b64decode(images[0]).startswith(b"\x89PNG")
    assert all(source.startswith("data:") or source == "x" for source in sources)
    assert "http://" not in text and "https://" not in text
    assert "default-src 'none'" in text and "script-src" not in text


def test_without_a_browser_a_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(html_report, "find_chromium", lambda: None)
    assert write_pdf(report(tmp_path / "r.html"), tmp_path / "r.pdf").startswith("No PDF: there is no Chromium")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the browser")
@pytest.mark.parametrize(("script", "sentence"), [("exit 3", "No PDF: "), ("true", "No PDF: "), (None, "PDF: r.pdf")])
def test_what_the_browser_did_is_told(tmp_path, monkeypatch, script, sentence):
    browser = tmp_path / "browser"
    writes = 'for a in "$@"; do case $a in --print-to-pdf=*) echo "$@" > "${a#--print-to-pdf=}";; esac; done'
    browser.write_text(f"#!/bin/sh\n{script or writes}\n")
    browser.chmod(0o755)
    monkeypatch.setattr(html_report, "find_chromium", lambda: str(browser))
    assert write_pdf(report(tmp_path / "a b.html"), tmp_path / "r.pdf").startswith(sentence)
    if script is None:
        assert Path(tmp_path / "a b.html").as_uri() in (tmp_path / "r.pdf").read_text()


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium here")
def test_a_pdf_is_printed(tmp_path):
    assert write_pdf(report(tmp_path / "r.html"), tmp_path / "r.pdf") == "PDF: r.pdf"
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
