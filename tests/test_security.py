"""Nothing that comes from a file is executed, unpickled or written outside of its folder; nothing listens to others."""

import ast
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
