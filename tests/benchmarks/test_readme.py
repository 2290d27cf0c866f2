from pathlib import Path

from benchmarks import harness, readme


def test_the_table_is_filled_between_its_markers_again_and_again(tmp_path):
    row = dict(zip(harness.COLUMNS, ("pck", 4e5, 1e4, "poses/s", 40, 38, 41.5, "a loop"), strict=True))
    harness.write([row, harness.skipped("rcnn", "no such module")], tmp_path / "cpu.csv")
    text = "before\n<!-- benchmark: how -->\nold\n<!-- end of benchmark -->\nafter\n"
    once = readme.filled(text, tmp_path)
    assert "On CPU:" in once and "| pck" in once and "40.0 (38.0 to 41.5)" in once
    assert "400,000 poses/s" in once and "rcnn" not in once and "old" not in once
    assert once.startswith("before\n<!-- benchmark: how -->\n") and once.endswith("after\n")
    assert readme.filled(once, tmp_path) == once
    assert readme.filled(once, tmp_path / "none") == text.replace("old\n", "")


def test_the_readme_has_the_markers():
    text = Path(readme.__file__).with_name("README.md").read_text(encoding="utf-8")
    assert readme.BETWEEN.search(text)
