import pytest

from fewpose_runs.parameter_checks import check_values
from fewpose_runs.profiles import profiles, read_profile, user_path

SPORTS = {
    "dataset": "jump",
    "data_path": "",
    "frames": 90,
    "size": 96,
    "width": 0,
    "network": "movenet",
    "batch_size": 16,
}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data_path": "my"}, "data_path is not used with dataset 'jump'"),
        ({"dataset": "custom", "data_path": "my", "frames": 10}, "frames is not used with dataset 'custom'"),
        ({"dataset": "lsp", "data_path": "my", "size": 128}, "size is not used with dataset 'lsp'"),
        ({"dataset": "custom"}, "needs data_path"),
        ({"dataset": "mpii"}, "dataset is one of jump, lsp, custom, not 'mpii'"),
        ({"batch_size": 0}, "batch_size is 0, the least that works is 1"),
        ({"evaluate_every": 0}, "evaluate_every is 0, the least that works is 1"),
        ({"labels": -1}, "labels is -1, the least that works is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"size": 100}, "size is 100, movenet reads multiples of 32: the nearest is 96"),
        ({"size": 5}, "the nearest is 32"),
        ({"size": 128, "width": 100}, "width is 100, .* the nearest is 96"),
        ({"network": "rtmpose_s"}, "rtmpose_s reads size 256 and width 192, not 96 and 0"),
    ],
)
def test_what_no_run_can_use_is_refused(given, message):
    with pytest.raises(ValueError, match=rf"my\.yaml, run a: .*{message}"):
        check_values({**SPORTS, **given}, set(given), "my.yaml, run a")


def test_what_works():
    check_values({**SPORTS, "network": "rtmpose_s", "size": 256, "width": 192}, {"size"}, "")
    check_values({**SPORTS, "dataset": "lsp", "data_path": "data"}, {"data_path"}, "")
    check_values({"batch_size": 1, "learning_rate": 1e-9}, set(), "")
    for profile in profiles():
        assert read_profile(profile)


def test_paths_of_users(monkeypatch, tmp_path):
    for name, value in (("FEWPOSE_ROOT", tmp_path), ("HOME", tmp_path / "home"), ("MY_DATA", tmp_path / "data")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))  # Windows
    assert user_path("my/sport") == tmp_path / "my" / "sport"
    assert user_path("~/sport") == tmp_path / "home" / "sport"
    assert user_path("$MY_DATA/sport") == tmp_path / "data" / "sport"


def test_profiles_end_in_yaml_or_yml(monkeypatch, tmp_path):
    monkeypatch.setenv("FEWPOSE_ROOT", str(tmp_path))
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mine.yml").write_text("[]")
    assert profiles() == ["mine"]
    with pytest.raises(ValueError, match=r"params/mine\.yml must be a list of runs"):
        read_profile("mine")
    (tmp_path / "params" / "mine.yaml").write_text("[]")
    with pytest.raises(ValueError, match="has two files"):
        read_profile("mine")
