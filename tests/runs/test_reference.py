import json

import pytest

from fewpose_runs import reference


def test_only_small_results_of_finished_runs_are_kept(tmp_path, monkeypatch):
    run = tmp_path / "mine" / "sports" / "a"
    for folder in ("figures", "checkpoints", "test"):
        (run / folder).mkdir(parents=True)
    for name in ("run.json", "metrics.csv", "figures/x.png", "figures/x.pdf", "test/a.npz", "checkpoints/net.pt"):
        (run / name).write_text(json.dumps({}))
    monkeypatch.setattr(reference, "outputs", lambda: tmp_path)
    monkeypatch.setattr(reference, "finished_runs", lambda profile: [run])
    with pytest.raises(ValueError, match="outputs/mine has no report"):
        reference.keep_reference("mine", "ours")
    (tmp_path / "mine" / "report").mkdir()
    (tmp_path / "mine" / "report" / "results.csv").write_text("value\n1\n")
    (tmp_path / "reference" / "ours").mkdir(parents=True)
    (tmp_path / "reference" / "ours" / "stale.csv").touch()

    kept = reference.keep_reference("mine", "ours")
    files = sorted(p.relative_to(kept).as_posix() for p in kept.rglob("*") if p.is_file())
    assert files == [
        "report/results.csv",
        "sports/a/figures/x.png",
        "sports/a/metrics.csv",
        "sports/a/run.json",
        "sports/a/test/a.npz",
    ]
