"""Nothing that comes from a file is executed, unpickled or written outside of its folder; nothing listens to others."""

import ast
import contextlib
from pathlib import Path

import pytest

LIB = Path(__file__).parents[1] / "lib"
NEVER = {  # calls that execute or unpickle what they are given, or unpack where an archive says
    "eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "marshal.load", "marshal.loads",
    "shelve.open", "joblib.load", "dill.load", "dill.loads", "cloudpickle.load", "cloudpickle.loads", "pd.read_pickle",
    "pandas.read_pickle", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "shutil.unpack_archive",
}  # fmt: skip
ONLY = {  # calls that are safe with this argument alone
    "torch.load": ("weights_only", True)
}
NOT = {  # arguments that make any call unsafe
    "allow_pickle": True,
    "shell": True,
}
UNPACK = ("extractall", "extract")  # of archives: members are read by name and written where we say


def problems(code, name):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and node.value == "0.0.0.0":
            yield f"{name}:{node.lineno}: listens on all addresses"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        if called in NEVER or (isinstance(node.func, ast.Attribute) and node.func.attr in UNPACK):
            yield f"{name}:{node.lineno}: {called}"
        if called in ONLY and given.get(ONLY[called][0]) is not ONLY[called][1]:
            yield f"{name}:{node.lineno}: {called} without {ONLY[called][0]}"
        if any(given.get(word) is value for word, value in NOT.items()):
            yield f"{name}:{node.lineno}: {called} with {', '.join(NOT)}"


def test_no_code_executes_or_unpickles_a_file():
    files = sorted(LIB.rglob("*.py"))
    assert len(files) > 50
    assert not [problem for file in files for problem in problems(file.read_text(encoding="utf-8"), file.name)]


@pytest.mark.parametrize(
    "code",
    [
        "eval(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "archive.extractall(folder)",
        "yaml.load(text)",
        "server.listen('0.0.0.0')",
    ],
)
def test_the_scan_sees_them(code):
    assert list(problems(code, "a.py"))


def test_dask_listens_to_this_machine_alone(monkeypatch):
    import distributed

    from fewpose_runs import clusters

    made = {}

    class Recorded(contextlib.nullcontext):
        def __init__(self, workers, scheduler, **_):
            super().__init__()
            made.update(scheduler=scheduler["options"], **{f"worker {n}": w["options"] for n, w in workers.items()})

    monkeypatch.setattr(distributed, "SpecCluster", Recorded)
    monkeypatch.setattr(clusters, "_gpus", lambda: [])
    with clusters._this_machine([], 2):
        assert {options["host"] for options in made.values()} == {"127.0.0.1"} and len(made) == 3
    assert made["scheduler"]["dashboard_address"] in (None, "127.0.0.1:0")
    assert not made["worker 0"]["dashboard"] and not made["worker 1"]["dashboard"]


def test_jupyterlab_is_started_where_it_listens_by_default(monkeypatch):
    """That is localhost; the labeller is a widget in it and listens nowhere itself."""
    from jupyter_server.serverapp import ServerApp

    from fewpose_runs import cli

    started = []
    monkeypatch.setattr(cli, "_tool", lambda *words: started.append(words) or 0)
    cli.main(["lab"])
    assert started == [("jupyter", "lab", "notebooks")]
    assert ServerApp.ip.default_value == "localhost"


# ---- what is shown --------------------------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>"


def test_tables_of_reports_show_names_as_they_are():
    import pandas as pd

    from fewpose_report.results import markdown

    text = markdown(pd.DataFrame({"video": [EVIL, "a|b"], "pck": [1.0, 2.0]}))
    assert "<script" not in text and "&lt;script>" in text and r"a\|b" in text


def test_notebooks_show_names_of_keypoints_as_they_are():
    """Styled tables do not escape by themselves, and an executed notebook may be exported as HTML."""
    import json

    from fewpose.skeleton import Skeleton
    from fewpose_video.label.skeletons import skeleton_table

    table = skeleton_table(Skeleton("x", (EVIL, "b"), (), (0.1, 0.1)))
    assert "<script" not in table.style.format(escape="html").hide().to_html()
    assert "<script" in table.style.hide().to_html()  # else the next lines may go
    for path in (LIB.parent / "notebooks" / "your_videos").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            for place in (part for part in source.split(".style")[1:] if "methods_table" not in source):
                assert place.startswith('.format(escape="html")'), f"{path.name}: {source}"


def test_figures_show_names_as_they_are():
    """Also those that Matplotlib would take for mathematics."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from fewpose_runs.runs import STYLE

    with mpl.rc_context(STYLE):
        for name in (EVIL, "$\\frac{$", "a $b$ c"):
            axis = Figure().subplots()
            assert axis.set_title(name).get_text() == name
            axis.figure.canvas.draw()
