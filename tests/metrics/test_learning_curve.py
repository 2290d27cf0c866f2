"""Power laws through errors over numbers of labels, and the gain of more labels."""

import numpy as np
import pytest

from fewpose.metrics.learning_curve import PowerLaw, fit_power_law, predict_gain

LABELS = np.array([10, 20, 30, 40, 50])


@pytest.mark.parametrize(("a", "b", "c"), [(100, 0.5, 0), (60, 1.0, 12), (200, 0.25, 5)])
def test_a_known_law_is_found_again(a, b, c):
    truth = PowerLaw(a, b, c)
    law = fit_power_law(LABELS, truth(LABELS))
    assert law.b == pytest.approx(b) and law.c == pytest.approx(c, abs=1e-6) and law.a == pytest.approx(a)
    assert law(100) == pytest.approx(truth(100))


def test_many_data_sets_are_fitted_as_one_by_one():
    rng = np.random.default_rng(0)
    errors = 30 + rng.normal(0, 5, (7, 5))
    together = fit_power_law(LABELS, errors)
    for i, row in enumerate(errors):
        alone = fit_power_law(LABELS, row)
        assert (alone.a, alone.b, alone.c) == pytest.approx((together.a[i], together.b[i], together.c[i]))


def test_no_other_law_fits_better():
    rng = np.random.default_rng(1)
    for _ in range(20):
        errors = 80 * LABELS**-0.5 + rng.normal(0, 3, 5)
        law = fit_power_law(LABELS, errors)
        found = ((law(LABELS) - errors) ** 2).sum()
        for _ in range(200):
            a, c = law.a + rng.normal(0, 3), law.c + rng.normal(0, 1)
            other = PowerLaw(max(a, 0), law.b, max(c, 0))
            assert ((other(LABELS) - errors) ** 2).sum() >= found - 1e-9


def test_errors_that_do_not_fall_promise_nothing():
    law = fit_power_law(LABELS, [20, 21, 22, 23, 24])
    assert law.a == 0 and law.c == pytest.approx(22)
    errors = np.array([20.0, 21, 22, 23, 24])
    assert predict_gain(LABELS, errors, np.tile(errors, (50, 1)), more=10).expected == 0


def test_three_numbers_of_labels_are_needed():
    with pytest.raises(ValueError, match="three different"):
        fit_power_law([10, 20, 20], [3, 2, 2])


def test_without_noise_the_gain_is_that_of_the_law():
    truth = PowerLaw(100, 0.5, 10)
    errors = truth(LABELS)
    gain = predict_gain(LABELS, errors, np.tile(errors, (20, 1)), more=50)
    expected = truth(50) - truth(100)
    assert (gain.expected, gain.low, gain.high) == pytest.approx((expected, expected, expected))
    assert str(gain) == "50 more labels: +4.1 (4.1 to 4.1) points"


@pytest.mark.parametrize("more", [10, 50])
def test_intervals_hold_the_gain_in_simulations(more):
    """95 % intervals of 150 simulated curves; 88 % is three standard errors below."""
    truth, labels = PowerLaw(90, 0.45, 4), np.repeat([12, 18, 25, 35, 50], 2)
    rng = np.random.default_rng(2)
    expected, inside, inside_next = truth(50) - truth(50 + more), 0, 0
    for i in range(150):
        errors = truth(labels) + rng.normal(0, 1.5, len(labels))
        gain = predict_gain(labels, errors, np.tile(errors, (100, 1)), more, seed=i)
        inside += gain.low <= expected <= gain.high
        measured = expected + rng.normal(0, 1.5) - rng.normal(0, 1.5)
        inside_next += gain.next_low <= measured <= gain.next_high
    assert inside >= 0.88 * 150 and inside_next >= 0.88 * 150
