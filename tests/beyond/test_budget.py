"""Settings that fit the time: estimates by hand, recommendations within the budget, changes by name."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fewpose.beyond.budget import (
    LEAST_STEPS,
    POOL,
    Amount,
    Plan,
    Speed,
    changed,
    count_frames,
    estimate,
    first_choice,
    in_words,
    measure,
    recommend,
)
from fewpose.data.video import video_writer
from fewpose.skeleton import COCO
from tiny import TinyNet, dots

SPEED = Speed(feature=0.01, head=0.002, step=0.1, predict=0.02, published=0.02, video=0.05)
ONE = Amount(labels=50, videos=12, folds=1, kept=False, video_frames=3000)
FIVE = Amount(labels=50, videos=6, folds=5, kept=True, video_frames=3000)


def test_an_estimate_by_hand():
    plan = replace(Plan(), raw_every=10, steps=600, retraining_steps=300, evaluate_every=100)
    parts = estimate(plan, ONE, SPEED)  # 300 unlabelled frames
    assert parts["reading the videos"] == pytest.approx(3000 * 0.05)
    assert parts["the published network"] == pytest.approx(350 * 4 * 0.02)
    assert parts["features"] == pytest.approx(350 * 12 * 0.01)
    assert parts["training on labels"] == pytest.approx(600 * 0.1)
    assert parts["pseudo labels"] == pytest.approx(300 * 12 * 0.002)
    assert parts["retraining"] == pytest.approx(300 * 0.1)
    assert parts["learning curve"] == pytest.approx(6 * (600 * 0.1 + 50 * 0.02))
    five = estimate(plan, FIVE, SPEED)
    assert five["training on labels"] == pytest.approx(6 * 600 * 0.1)
    assert five["features"] == parts["features"]


@pytest.mark.parametrize("amount", [ONE, FIVE])
@pytest.mark.parametrize("minutes", [10, 20, 60, 1000])
def test_the_recommendation_fits(amount, minutes):
    plan = recommend(Plan(), amount, SPEED, minutes)
    assert sum(estimate(plan, amount, SPEED).values()) <= 60 * minutes
    assert plan.steps <= Plan().steps and amount.unlabelled(plan) <= POOL


def test_more_time_gives_longer_trainings_up_to_the_full_ones():
    steps = [recommend(Plan(), FIVE, SPEED, minutes).steps for minutes in (1, 10, 15, 30, 1000)]
    assert steps == sorted(steps) and steps[0] == LEAST_STEPS and steps[-1] == Plan().steps


def test_without_videos_nothing_is_unlabelled():
    plan = recommend(Plan(), replace(ONE, video_frames=0), SPEED, 20)
    assert plan.raw_every == 0 and estimate(plan, replace(ONE, video_frames=0), SPEED)["retraining"] == 0


def test_a_minute_is_a_first_look():
    assert first_choice(1, COCO.keypoints).network == "movenet" and first_choice(25, COCO.keypoints) == Plan()


def test_the_published_head_does_not_vote_on_animals():
    assert first_choice(25, ("snout", "tail_base", "left_ear", "right_ear")).published == ""


def test_too_few_labels_give_no_learning_curve():
    assert recommend(Plan(), replace(ONE, labels=10), SPEED, 60).curve_sizes == ()


def test_settings_of_ones_own():
    plan = changed(Plan(), {"steps": 900, "curve_sizes": [0.5], "learning_rate": 1})
    assert (plan.steps, plan.curve_sizes, plan.learning_rate) == (900, (0.5,), 1)
    with pytest.raises(ValueError, match="did you mean 'steps'"):
        changed(Plan(), {"step": 900})
    for wrong in ({"steps": "many"}, {"steps": True}, {"network": 3}, {"curve_sizes": 0.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            changed(Plan(), wrong)


def test_words():
    assert in_words(FIVE, 11 * 60, "cpu", 25) == "50 labels, 6 videos, no GPU: 11 minutes"
    assert in_words(FIVE, 20, "cuda", 25) == "50 labels, 6 videos, a GPU: 1 minute"
    assert "more than the 25 you gave" in in_words(FIVE, 40 * 60, "cpu", 25)


def test_a_plan_is_read_as_it_was_saved(tmp_path):
    plan = replace(first_choice(1, COCO.keypoints), steps=7)
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan


def test_measuring_leaves_the_network_as_it_was():
    data, model = dots(4), TinyNet()
    before = [p.clone() for p in model.state_dict().values()]
    speed = measure(model, data, replace(first_choice(1, ()), batch_size=2), None, lambda: 10)
    assert speed.step > 0 and speed.predict > 0 and speed.feature == 0 == speed.published and speed.video >= 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))


def test_frames_are_counted_without_decoding(tmp_path):
    path, broken = tmp_path / "run.mp4", tmp_path / "broken.mp4"
    with video_writer(path, (32, 32), 25) as write:
        for _ in range(7):
            write(np.zeros((32, 32, 3), np.uint8))
    broken.write_bytes(b"nothing")
    assert count_frames([path, broken, path]) == 14
