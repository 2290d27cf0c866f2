"""Videos in, coordinates in the pixels of the videos out."""

import csv
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from blobs import BLOBS, Red, blobs
from fewpose import SkippedInput
from fewpose.data.video import read_video
from fewpose.models.factory import build
from fewpose.models.student.networks import light_student
from fewpose.models.weights import save_weights, shipped
from fewpose.skeleton import HALPE, JUMP
from fewpose_runs import cli
from fewpose_video import predict as predicting
from fewpose_video.networks import PoseNetwork, find_weights, network_metadata, open_network
from fewpose_video.people import find_person
from fewpose_video.predict import RECORD, Options, output_names, predict, predict_crops, predict_whole
from odd_videos import drop_frames
from published import RTMPOSE, YOLOX, needs_rtmpose, needs_yolox
from tiny import DOTS, dots
from toy_teacher import SPOTS, Rectangles, Spots, person
from toy_video import write_toy_video


def test_coordinates_are_mapped_back_exactly():
    ground_truth = torch.tensor([[[61.3, 40.7], [75.2, 66.1]], [[90.0, 31.5], [70.25, 52.0]]])
    images = [blobs(points, (120, 161)) for points in ground_truth.tolist()]
    network = PoseNetwork(Red(), BLOBS, (96, 72), 0.5)
    boxes = torch.tensor([[[40.0, 20, 100, 90]], [[50.5, 10, 120, 80]]])
    found = predict_crops(network, images, boxes)[:, 0]
    assert (found[..., :2] - ground_truth).abs().max() < 0.1
    whole = predict_whole(network, images)
    assert (whole[..., :2] - ground_truth).abs().max() < 0.25  # at less than half the resolution
    nobody = torch.full((2, 1, 4), torch.nan)
    both = predict_crops(network, images, torch.cat([nobody, boxes], 1))
    assert torch.equal(both[:, 1], found) and both[:, 0, :, :2].isnan().all() and (both[:, 0, :, 2] == 0).all()


class SpotsOnDevice(Spots):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))


def toy(monkeypatch, network=None):
    """Let `predict` open networks that need no training."""
    network = network or PoseNetwork(SpotsOnDevice(), SPOTS, (64, 64), 0.6)
    monkeypatch.setattr(predicting, "open_network", lambda place: network)
    monkeypatch.setattr(predicting, "find_weights", lambda place: Path(__file__))
    monkeypatch.setattr(predicting, "yolox_tiny", lambda path: Rectangles(96))


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_video_becomes_a_table_and_a_video(tmp_path, monkeypatch):
    toy(monkeypatch)
    ground_truth = write_toy_video(tmp_path / "walk.mp4")
    (written,), broken = predict("run", tmp_path / "walk.mp4")
    assert not broken and (written.frames, written.frames_with_people) == (12, 12)
    table = rows(tmp_path / "poses" / "walk_poses.csv")
    assert list(table[0]) == ["video", "frame", "seconds", "person", "keypoint", "x", "y", "score"]
    assert {row["person"] for row in table} == {"0"}
    assert len(table) == 12 * 4 and table[-1]["seconds"] == "0.5500"
    assert {row["video"] for row in table} == {"walk.mp4"}
    assert [row["keypoint"] for row in table[:4]] == list(SPOTS.keypoints)
    found = torch.tensor([[float(row["x"]), float(row["y"])] for row in table]).view(12, 4, 2)
    assert (found - ground_truth).norm(dim=-1).max() < 1.5  # of a codec, and cells of 4 pixels
    shown, _ = read_video(tmp_path / "poses" / "walk_poses.mp4")
    plain, _ = read_video(tmp_path / "walk.mp4")
    assert len(shown) == 12 and shown.shape[2:] == (96, 160)
    assert (shown.float() - plain[..., :96, :160].float()).abs().amax((1, 2, 3)).min() > 60
    assert {p.name for p in (tmp_path / "poses").iterdir()} == {"walk_poses.csv", "walk_poses.mp4", RECORD}


def test_a_video_without_people_has_empty_rows(tmp_path, monkeypatch):
    toy(monkeypatch)
    write_toy_video(tmp_path / "empty.mp4", frames=3, people=False)
    (written,), _ = predict("run", tmp_path, tmp_path / "out")
    assert (written.frames, written.frames_with_people) == (3, 0)
    table = rows(tmp_path / "out" / "empty_poses.csv")
    assert len(table) == 12 and all(r["person"] == r["x"] == r["y"] == "" and r["score"] == "0" for r in table)


def test_broken_videos_are_named_and_skipped(tmp_path, monkeypatch):
    toy(monkeypatch)
    write_toy_video(tmp_path / "good.mp4")
    content = (tmp_path / "good.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.avi").write_text("no video")
    frame = torch.full((3, 80, 90), 10, dtype=torch.uint8)
    ground_truth = person(frame, 30, 20, 40)
    cv2.imwrite(str(tmp_path / "still.png"), frame.permute(1, 2, 0).numpy()[..., ::-1])
    (tmp_path / "half.jpg").write_bytes(b"\xff\xd8\xff")
    written, broken = predict("run", tmp_path, tmp_path / "out")
    assert [w.source.name for w in written] == ["good.mp4", "still.png"]
    assert len(broken) == 3
    assert all(any(n in why for why in broken) for n in ("cut.mp4", "text.avi", "half.jpg"))
    names = {"good_poses.csv", "good_poses.mp4", "still_poses.csv", "still_poses.png", RECORD}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names
    table = rows(tmp_path / "out" / "still_poses.csv")
    found = torch.tensor([[float(row["x"]), float(row["y"])] for row in table])
    assert (found - ground_truth).norm(dim=-1).max() < 1.5
    with pytest.raises(ValueError, match=r"nothing could be read: .*text\.avi"):
        predict("run", tmp_path / "text.avi", tmp_path / "out")


def test_damage_that_shows_at_the_end_leaves_no_files(tmp_path, monkeypatch):
    toy(monkeypatch)
    write_toy_video(tmp_path / "good.mp4", 60)
    content = bytearray((tmp_path / "good.mp4").read_bytes())
    start, end = content.find(b"mdat") + 4, content.find(b"moov") - 4
    content[start + (end - start) // 4 : end] = b"\0" * (end - start - (end - start) // 4)
    (tmp_path / "damaged.mp4").write_bytes(content)
    written, broken = predict("run", tmp_path, tmp_path / "out", options=Options(whole=True))
    assert [w.source.name for w in written] == ["good.mp4"] and "ends after" in broken[0]
    assert not list((tmp_path / "out").glob("damaged*"))


def test_videos_that_share_a_name_do_not_overwrite_each_other(tmp_path, monkeypatch):
    toy(monkeypatch)
    write_toy_video(tmp_path / "a.mp4", 2)
    write_toy_video(tmp_path / "a.avi", 2)
    predict("run", tmp_path, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").glob("*.csv")} == {"a_avi_poses.csv", "a_mp4_poses.csv"}


def test_seconds_are_right_where_the_rate_varies(tmp_path, monkeypatch):
    """30 frames a second, and 5 from the 60th frame on: the 75th is shown at 5 seconds."""
    toy(monkeypatch)
    video = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 30, (64, 64))
    for _ in range(151):
        video.write(np.zeros((64, 64, 3), np.uint8))
    video.release()
    drop_frames(tmp_path / "a.avi", set(range(60, 151)) - set(range(60, 151, 6)))
    (written,), _ = predict("run", tmp_path / "a.avi", options=Options(whole=True))
    seconds = [float(row["seconds"]) for row in rows(written.files[0])[::4]]
    expected = [n / 30 for n in range(60)] + [2 + n / 5 for n in range(16)]
    np.testing.assert_allclose(seconds, expected, atol=0.001)
    shown = cv2.VideoCapture(str(written.files[1]))
    assert shown.get(cv2.CAP_PROP_FRAME_COUNT) == 76
    assert shown.get(cv2.CAP_PROP_FPS) == pytest.approx(75 / 5, abs=0.01)


def test_a_colon_in_a_file_name_is_no_protocol(tmp_path, monkeypatch):
    toy(monkeypatch)
    write_toy_video(tmp_path / "walk.mp4", 2)
    (tmp_path / "walk.mp4").rename(tmp_path / "10:30 sprint.mp4")
    monkeypatch.chdir(tmp_path)
    (written,), _ = predict("run", "10:30 sprint.mp4", ".", options=Options(whole=True))
    assert written.frames == 2 and (tmp_path / "10:30 sprint_poses.mp4").is_file()


def write_two_people(path, frames=24):
    """One of 40 pixels goes right; a smaller one stands, and comes two frames later."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 20, (240, 120))
    for t in range(frames):
        frame = torch.full((3, 120, 240), 10, dtype=torch.uint8)
        person(frame, 20 + 3 * t, 20, 40)
        if t >= 2:
            person(frame, 180, 80, 24)
        video.write(frame.permute(1, 2, 0).numpy()[..., ::-1].copy())
    video.release()


def test_people_are_the_same_from_frame_to_frame(tmp_path, monkeypatch):
    toy(monkeypatch)
    write_two_people(tmp_path / "two.mp4")

    def heads(who):
        ((written,), _) = predict("run", tmp_path / "two.mp4", tmp_path / str(who), Options(person=who, video=False))
        found = {}
        for row in rows(written.files[0]):
            if row["keypoint"] == "head" and row["person"]:
                found.setdefault(row["person"], []).append((int(row["frame"]), float(row["x"])))
        return found

    everybody = heads("all")
    assert set(everybody) == {"0", "1"} and [t for t, _ in everybody["0"]] == list(range(24))
    assert all(abs(x - (39.5 + 3 * t)) < 2 for t, x in everybody["0"])
    assert all(abs(x - 191.5) < 2 for _, x in everybody["1"]) and everybody["1"][0][0] == 3  # in every third frame
    assert heads("largest") == {"0": everybody["0"]} and heads(1) == {"1": everybody["1"]}
    with pytest.raises(ValueError, match=r"two\.mp4: people is largest, all or one of the IDs \[0, 1\], not 7"):
        heads(7)


def test_when_somebody_else_is_followed_the_output_says_so(tmp_path, monkeypatch):
    toy(monkeypatch)
    video = cv2.VideoWriter(str(tmp_path / "cut.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 20, (240, 120))
    for t in range(60):
        frame = torch.full((3, 120, 240), 10, dtype=torch.uint8)
        person(frame, *((20, 20) if t < 30 else (180, 70)), 40)
        video.write(frame.permute(1, 2, 0).numpy()[..., ::-1].copy())
    video.release()
    with pytest.warns(UserWarning, match=r"cut\.mp4: somebody else is followed: after person 0, 1 from frame 30"):
        ((written,), _) = predict("run", tmp_path / "cut.mp4")
    table = [row for row in rows(written.files[0]) if row["keypoint"] == "head"]
    assert [row["person"] for row in table[:28]] == ["0"] * 28 and [row["person"] for row in table[30:]] == ["1"] * 30


def test_a_part_of_a_slow_motion_video_in_several_formats(tmp_path, monkeypatch):
    toy(monkeypatch)
    ground_truth = write_toy_video(tmp_path / "walk.mp4", 24)
    options = Options(
        start=0.25, end=0.8, slow_motion=4, formats=("dlc-csv", "trc", "velocities"), length=("10,10", "10,60", 2.0)
    )
    (written,), _ = predict("run", tmp_path / "walk.mp4", options=options)
    table = rows(written.files[0])
    assert [int(row["frame"]) for row in table[::4]] == list(range(5, 17)) and written.frames == 12
    assert [float(row["seconds"]) for row in table[::4]] == pytest.approx([n / 80 for n in range(5, 17)], abs=1e-4)
    found = torch.tensor([[float(row["x"]), float(row["y"])] for row in table]).view(12, 4, 2)
    assert (found - ground_truth[5:17]).norm(dim=-1).max() < 1.5
    assert float(table[0]["x_m"]) == pytest.approx(0.04 * float(table[0]["x"]), abs=1e-3)
    speeds = [float(row["vx"]) for row in rows(tmp_path / "poses" / "walk_velocities.csv") if row["keypoint"] == "neck"]
    assert np.median(speeds) == pytest.approx(4 * 80 * 0.04, rel=0.05)
    names = {"walk_poses.csv", "walk_poses.mp4", "walk_dlc.csv", "walk.trc", "walk_velocities.csv", RECORD}
    assert {p.name for p in (tmp_path / "poses").iterdir()} == names == {f.name for f in written.files} | {RECORD}
    _, broken = predict("run", tmp_path, options=Options(start=0.3, video=False))
    assert not broken
    with pytest.raises(ValueError, match=r"walk\.mp4 has no frame from 9 to inf s"):
        predict("run", tmp_path, options=Options(start=9))


def test_smoothing_is_seen_in_the_table_and_can_be_switched_off(tmp_path, monkeypatch):
    toy(monkeypatch)
    write_toy_video(tmp_path / "walk.mp4", 26)

    def jitter(smoother):
        (written,), _ = predict("run", tmp_path / "walk.mp4", options=Options(smoother=smoother, video=False))
        x = np.array([float(row["x"]) for row in rows(written.files[0]) if row["keypoint"] == "left_hip"])
        return np.abs(np.diff(x, 2)).mean()

    assert jitter("savitzky-golay") < 0.7 * jitter(None)
    with pytest.raises(ValueError, match="needs more than 12 frames/s, not 2"):
        predict("run", tmp_path / "walk.mp4", options=Options(smoother="butterworth", slow_motion=0.1))


def test_options_that_do_not_fit_are_refused_before_any_work(tmp_path, monkeypatch):
    toy(monkeypatch)
    write_toy_video(tmp_path / "walk.mp4", 2)
    for options, why in (
        (Options(height=1.8), "lacks left_ankle or left_knee"),
        (Options(length=("head", "tail", 1.0)), "has no keypoint 'tail'"),
        (Options(length=("1,b", "head", 1.0)), "1,b is no point"),
    ):
        with pytest.raises(ValueError, match=why):
            predict("run", tmp_path / "walk.mp4", options=options)
    assert not (tmp_path / "poses").exists()


def test_the_next_call_goes_on_and_says_what_it_did_again(tmp_path, monkeypatch):
    toy(monkeypatch)
    for name in "abc":
        write_toy_video(tmp_path / f"{name}.mp4", 4)
    one = predicting.predict_file

    def killed(path, *arguments):
        if path.name == "b.mp4":
            raise KeyboardInterrupt
        return one(path, *arguments)

    monkeypatch.setattr(predicting, "predict_file", killed)
    with pytest.raises(KeyboardInterrupt):
        predict("run", tmp_path)
    monkeypatch.setattr(predicting, "predict_file", one)
    written, _ = predict("run", tmp_path)
    assert [(w.source.name, w.done, w.frames) for w in written] == [
        ("a.mp4", "kept", 4),
        ("b.mp4", "redone", 4),
        ("c.mp4", "", 4),
    ]
    (tmp_path / "poses" / "a_poses.csv").unlink()
    write_toy_video(tmp_path / "b.mp4", 5)
    assert [(w.done, w.frames) for w in predict("run", tmp_path)[0]] == [("", 4), ("", 5), ("kept", 4)]
    assert all(w.done == "" for w in predict("run", tmp_path, options=Options(smoother=None))[0])


def test_warnings_name_their_video(tmp_path, monkeypatch):
    toy(monkeypatch)
    write_toy_video(tmp_path / "walk.mp4", 3)
    real = predicting.iter_frames

    def with_warning(path, every=1):
        warnings.warn("colours are strange", UserWarning, stacklevel=2)
        yield from real(path, every)

    monkeypatch.setattr(predicting, "iter_frames", with_warning)
    with pytest.warns(UserWarning) as caught:
        predict("run", tmp_path)
    assert [str(w.message) for w in caught] == ["walk.mp4: colours are strange"]


def test_raw_poses_are_those_before_the_smoothing(tmp_path, monkeypatch):
    toy(monkeypatch)
    write_toy_video(tmp_path / "walk.mp4")
    predict("run", tmp_path / "walk.mp4", tmp_path / "smooth", Options(formats=("raw",), video=False))
    predict("run", tmp_path / "walk.mp4", tmp_path / "plain", Options(smoother=None, video=False))
    plain = (tmp_path / "plain" / "walk_poses.csv").read_text(encoding="utf-8")
    assert (tmp_path / "smooth" / "walk_raw.csv").read_text(encoding="utf-8") == plain
    assert (tmp_path / "smooth" / "walk_poses.csv").read_text(encoding="utf-8") != plain


@needs_rtmpose
def test_the_published_network_needs_no_run(monkeypatch):
    monkeypatch.setenv("FEWPOSE_RTMPOSE_S", str(RTMPOSE))
    network = open_network("rtmpose_s")
    assert find_weights("rtmpose_s") == RTMPOSE
    assert network.skeleton is HALPE and network.size == (256, 192)
    assert network.margin == pytest.approx(1.25)  # of the crops that it was trained on


def test_the_command_line_has_all_options(monkeypatch, capsys):
    given = []
    monkeypatch.setattr(predicting, "predict", lambda *arguments: given.append(arguments) or ([], []))
    text = "--person 2 --from 1.5 --to 3 --slow-motion 8 --smooth none --height 1.8 --format trc angles --no-video"
    assert cli.main(["predict", "run", "videos", *text.split(), "--background", "blank", "--blur-faces"]) == 0
    expected = Options(2, 1.5, 3.0, 8.0, None, ("trc", "angles"), 1.8, None, False, "blank", True, False)
    assert given[0][3] == expected
    assert cli.main(["predict", "run", "videos"]) == 0 and given[1][3] == Options()
    assert set(cli.FORMATS) == set(predicting.WRITERS)
    for wrong in ("--person tall", "--to -1", "--slow-motion 0", "--format xls"):
        with pytest.raises(SystemExit):
            cli.main(["predict", "run", "videos", *wrong.split()])


def test_a_stopped_command_says_where_it_continues(monkeypatch, capsys):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(predicting, "predict", stop)
    assert cli.main(["predict", "run", "videos"]) == 130
    assert "goes on with this video" in capsys.readouterr().err
    monkeypatch.setattr("fewpose_runs.engine.reproduce", stop)
    assert cli.main(["reproduce"]) == 130
    assert "the same command continues from here" in capsys.readouterr().err


def test_no_video_at_all(tmp_path):
    with pytest.raises(ValueError, match="there is no video, image or folder"):
        predict("run", tmp_path / "absent")
    with pytest.raises(ValueError, match="holds no video or image"):
        predict("run", tmp_path)
    (tmp_path / "IMG_1.HEIC").touch()
    with pytest.raises(ValueError, match=r"IMG_1\.HEIC is of a format that is not read: convert it"):
        predict("run", tmp_path / "IMG_1.HEIC")
    with pytest.warns(SkippedInput, match=r"not read .*: IMG_1\.HEIC"), pytest.raises(ValueError, match="holds no"):
        predict("run", tmp_path)


# ---- the networks --------------------------------------------------------------------------------


def test_a_saved_network_has_all_it_needs(tmp_path):
    data = dots()
    model = build("movenet", 4, seed=3).eval()
    place = tmp_path / "run" / "checkpoints" / "network.safetensors"
    save_weights(model, place, network_metadata("movenet", data))
    opened = open_network(tmp_path / "run")
    assert opened.skeleton.keypoints == DOTS.keypoints and opened.skeleton.limbs == DOTS.limbs
    assert opened.size == (32, 32) and 0.3 < opened.share < 0.6
    # the person's box, a tenth larger than the keypoints, fills that share of the crop
    assert opened.margin == pytest.approx(1 / (1.1 * opened.share))
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        for a, b in zip(model(images), opened.model(images), strict=True):
            assert torch.equal(a, b)
    assert find_weights(place) == find_weights(tmp_path / "run" / "checkpoints") == place


def test_unknown_weights_are_named(tmp_path):
    with pytest.raises(ValueError, match="there is no run or weights file"):
        open_network(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"holds no network\.safetensors"):
        open_network(tmp_path)
    for run in ("sports/b", "sports/a"):
        weights = tmp_path / "smoke" / run / "checkpoints" / "network.safetensors"
        weights.parent.mkdir(parents=True)
        weights.touch()
    with pytest.raises(ValueError, match=r"is no run: give one of those below it, \S+sports.a, \S+sports.b$"):
        open_network(tmp_path / "smoke")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, foreign)
    with pytest.raises(ValueError, match=r"foreign\.safetensors was not written by fewpose"):
        open_network(foreign)
    with pytest.raises(ValueError, match="has no `network` in its metadata"):
        open_network(shipped("everyday_movenet"))
    old = save_weights(build("movenet", 20), tmp_path / "old.safetensors", {"dataset": "jump"})
    with pytest.raises(ValueError, match="run that again"):
        open_network(old)


@needs_yolox
def test_a_student_numbers_the_people_of_a_frame(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWPOSE_YOLOX_TINY", str(YOLOX))
    student = light_student(YOLOX, side=96, lifter=16, reading="oks").eval()
    place = tmp_path / "student.safetensors"
    save_weights(student, place, {"network": "light", "soft": "weighted"})
    assert open_network(place).roi_heads.reading == "oks"
    monkeypatch.setattr(predicting, "MIN_PERSON_SCORE", 0.0)
    write_toy_video(tmp_path / "two.mp4", 2)
    (written,), _ = predict(place, tmp_path / "two.mp4")
    table = rows(written.files[0])
    assert list(table[0]) == ["video", "frame", "seconds", "person", "keypoint", "x", "y", "score", "x3d", "y3d", "z3d"]
    people = {(row["frame"], row["person"]) for row in table}
    assert ("0", "0") in people and len(table) == 17 * len(people)


@needs_yolox
def test_yolox_finds_the_athlete_of_a_rendered_frame(tmp_path):
    from fewpose_worlds import worlds

    still = worlds.jump(3, 128, 5, videos=3)
    boxes = find_person(predicting.yolox_tiny(YOLOX), [still.frames[0].permute(1, 2, 0).numpy()])[0]
    seen = still.poses[0][still.poses[0, :, 2] > 0][:, :2]
    inside = ((seen > boxes[0, :2] - 8) & (seen < boxes[0, 2:] + 8)).all(1)
    assert inside.float().mean() > 0.8 and still.skeleton == JUMP


def test_each_file_has_a_name_for_its_outputs():
    def names(*files):
        return output_names([Path(name) for name in files])

    assert names("a.mp4", "b.mov") == ["a", "b"]
    assert names("a.mp4", "a.mov") == ["a_mp4", "a_mov"]
    assert names("a.mkv", "a.mp4", "a_mp4.mov") == ["a.mkv", "a.mp4", "a_mp4.mov"]
