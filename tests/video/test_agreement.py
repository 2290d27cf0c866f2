import numpy as np
import pytest
import torch

from fewpose.models.people import People
from fewpose_video.agreement import agreement, held_out
from two_people import guesses, world


def shifted(people, by):
    """People whose keypoints are all moved to the right by pixels."""
    return [People(p.boxes, p.scores, p.keypoints + torch.tensor([by, 0.0, 0]), p.keypoints3d) for p in people]


def test_everything_or_nothing_is_found():
    data = world(4)
    labelled = int(sum((k[..., 2] > 0).sum() for k in data.keypoints))
    assert agreement(guesses(data, 4), data.boxes, data.keypoints) == {
        "people": 100, "keypoints": 100, "others": 0, "n": labelled,
    }  # fmt: skip
    half = agreement(guesses(data, 2), data.boxes, data.keypoints)
    assert half["people"] == 50 and half["keypoints"] == 50
    nothing = agreement(guesses(data, 4), data.boxes, data.keypoints, score=0.95)
    assert nothing["people"] == nothing["keypoints"] == nothing["others"] == 0


def test_a_tenth_of_the_size_is_near():
    data = world(1)
    near = [6.0 - 1e-3, 6.0 + 1e-3]  # both boxes are 60 pixels high
    shares = [agreement(shifted(guesses(data, 1), by), data.boxes, data.keypoints)["keypoints"] for by in near]
    assert shares == [100, 0]


def test_only_confident_labels_and_matched_people_count():
    data = world(1)
    data.keypoints[0][0, :, 2] = 0  # of the first person no keypoint is confident
    found = agreement(guesses(data, 1), data.boxes, data.keypoints)
    assert found["n"] == 17 and found["keypoints"] == 100
    away = guesses(data, 1)[0]
    away = People(away.boxes + 300, away.scores, away.keypoints, away.keypoints3d)
    found = agreement([away], data.boxes, data.keypoints)
    assert found["people"] == 0 and found["keypoints"] == 0 and found["others"] == 2
    nobody = agreement(guesses(data, 1), [torch.zeros(0, 4)], [torch.zeros(0, 17, 3)])
    assert np.isnan(nobody["people"]) and nobody["others"] == 2
    with pytest.raises(ValueError, match="1 frames were predicted, 2 are labelled"):
        agreement([away], data.boxes * 2, data.keypoints * 2)


def test_whole_videos_are_held_out():
    video = np.array(["b", "a", "c", "b", "a", "c"])
    assert held_out(video).tolist() == [False, False, True, False, False, True]
    assert held_out(video, 0.7).tolist() == [True, False, True, True, False, True]
    assert held_out(["one"] * 8).tolist() == [False] * 6 + [True] * 2
