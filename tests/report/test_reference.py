import json
import re
from pathlib import Path

import pandas as pd

import fewpose_report
from fewpose_report.reference import USES, reference_readme, write_readme
from fewpose_report.results import markdown
from fewpose_report.sports.pck_results import name_of
from fewpose_report.sports.pck_tables import SPORTS_TABLE1

COMMITTED = Path(__file__).parents[2] / "outputs" / "reference"
TEXT = (Path(fewpose_report.__file__).parent / "reference.md").read_text()


def test_committed_page_is_made_of_the_committed_files():
    page = reference_readme(COMMITTED)
    assert (COMMITTED / "README.md").read_text() == page, "call reference.write_readme('outputs/reference')"
    assert "{" not in page


def test_every_file_that_the_text_shows_is_committed():
    shown = re.findall(r"^\{\w+ (\S+?)[ }]", TEXT, flags=re.M)
    assert len(shown) > 40 and all((COMMITTED / path).exists() for path in shown)
    links = re.findall(r"\]\(([^)]+)\)", reference_readme(COMMITTED))
    assert all((COMMITTED / link).exists() for link in links)


def test_every_row_says_what_it_uses():
    assert {name_of(method) for method, _, _ in SPORTS_TABLE1} == set(USES)


def make_run(folder, seed, device, seconds):
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"seed": seed, "device": device, "seconds": seconds}))


def test_only_profiles_that_are_there_have_a_section(tmp_path):
    make_run(tmp_path / "real" / "operating_room" / "videos", 0, "cpu", 10.4)
    make_run(tmp_path / "my_sport" / "sports" / "a", 1, "cpu", 1200)
    make_run(tmp_path / "my_sport" / "sports" / "b", 0, "cuda", 30)
    (tmp_path / "my_sport" / "sports" / "a" / "notebook.ipynb").write_text("{}")
    page = write_readme(tmp_path).read_text()
    assert "## `real`" in page and "## `laptop`" not in page and "real/operating_room" not in page
    assert "1 run, seed 0, 10 s in all: 1 on cpu in 10 s." in page
    assert "2 runs, seed 0, 1, 1,230 s in all: 1 on cpu in 1,200 s; 1 on cuda in 30 s." in page
    assert "[a](my_sport/sports/a/notebook.ipynb)" in page


def test_a_cell_of_the_operating_room_by_hand(tmp_path):
    report = tmp_path / "operating_room" / "report"
    report.mkdir(parents=True)
    row = {"method": "teacher", "scale": "1x", "paper": 57.78, "ours": 52.6, "95 % interval": "44.9 to 59.7"}
    rows = [
        row | {"metric": "keypoint AP in %", "difference": -5.2, "seeds": 1},
        row | {"metric": "MPJPE in mm, one to one", "paper": None, "ours": 120.0, "seeds": 1},
        row | {"scale": None, "metric": "GFLOPs", "paper": 1048.8, "ours": 7.9, "difference": -1040.9},
    ]
    pd.DataFrame(rows).to_csv(report / "operating_room_table1.csv", index=False)
    page = reference_readme(tmp_path)
    assert "| 57.8 / 52.6 (44.9 to 59.7) / -5.2 | 120.0 (44.9 to 59.7)" in page
    assert re.search(r"\| GFLOPs +\| +1048.8 \| +7.9 \| +-1040.9 \|", page)


def test_markdown_shows_a_column_with_equal_decimals():
    table = pd.DataFrame({"method": ["a", "b"], "ours": [83.0, 82.25], "iteration": [None, 2.0], "off": [-0.0, 1.5]})
    lines = markdown(table).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["a", "83.00", "", "0.0"]
    assert [cell.strip() for cell in lines[3].split("|")[1:-1]] == ["b", "82.25", "2", "1.5"]
    assert markdown(table[:0]).splitlines()[0].replace(" ", "") == "|method|ours|iteration|off|"
