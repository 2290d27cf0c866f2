"""What more labels would bring: a power law through the errors of trainings on fewer labels; not in the papers.

The error falls as a n^(-b) + c with the number n of labels (Hestness et al., 2017). A few noisy trainings determine the
three numbers badly, but the gain of some more labels well enough to decide whether to make them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewpose.metrics.bootstrap import interval

EXPONENTS = np.linspace(0.1, 1.5, 57)  # b: the exponents that are tried


@dataclass(frozen=True)
class PowerLaw:
    """The error a n^(-b) + c; each number may be an array of the same shape."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray

    def __call__(self, labels: float | np.ndarray) -> np.ndarray:
        """The error with so many labels: one number for each law, or a row of them for one law."""
        return self.a * np.asarray(labels, float) ** -self.b + self.c


@dataclass(frozen=True)
class Gain:
    """By how much the error falls with `more` labels.

    expected   of the mean over trainings, with its 95 % interval `low` to `high`
    next_low, next_high  the interval for the difference of two single trainings, which vary
    """

    more: int
    expected: float
    low: float
    high: float
    next_low: float
    next_high: float

    def __str__(self) -> str:
        return f"{self.more} more labels: {self.expected:+.1f} ({self.low:.1f} to {self.high:.1f}) points"


def fit_power_law(labels: np.ndarray, errors: np.ndarray) -> PowerLaw:
    """Least squares through errors [..., P] with numbers of labels [P], with a and c of at least 0.

    For each of EXPONENTS the rest is linear. ValueError with fewer than three different numbers of labels.
    """
    if len(np.unique(labels)) < 3:
        raise ValueError(f"a power law needs three different numbers of labels, not {sorted(set(labels))}")
    y = np.asarray(errors, float)[..., None, :]
    x = np.asarray(labels, float) ** -EXPONENTS[:, None]  # [B, P]
    mean_x, mean_y = x.mean(-1), y.mean(-1)
    a = ((x - mean_x[:, None]) * y).mean(-1) / x.var(-1)
    c = mean_y - a * mean_x
    through_zero = (x * y).mean(-1) / (x**2).mean(-1)
    flat = a < 0  # then a constant is best, and where c would be negative a curve without it
    a, c = np.where(flat, 0, np.where(c < 0, through_zero, a)), np.where(flat, mean_y, np.maximum(c, 0))
    best = ((a[..., None] * x + c[..., None] - y) ** 2).sum(-1).argmin(-1)
    a, c = (np.take_along_axis(v, best[..., None], -1)[..., 0] for v in (a, c))
    return PowerLaw(a, EXPONENTS[best], c)


def predict_gain(
    labels: np.ndarray, errors: np.ndarray, samples: np.ndarray, more: int, now: int | None = None, seed: int = 0
) -> Gain:
    """The gain of `more` labels over `now` of them (None: the most there are), in the unit of the errors.

    errors [P] of trainings with `labels` [P]; samples [R, P] of the same, by bootstrap over the test videos. Power laws
    are fitted to each sample plus residuals of the best law, drawn with replacement and widened for the degrees of
    freedom that the fit has taken: they stand for the variation of single trainings.
    """
    labels, errors = np.asarray(labels, float), np.asarray(errors, float)
    now, rng = now or labels.max(), np.random.default_rng(seed)
    best = fit_power_law(labels, errors)
    residuals = (errors - best(labels)) * np.sqrt(len(labels) / max(len(labels) - 2, 1))
    drawn = rng.choice(residuals, samples.shape)
    laws = fit_power_law(labels, samples - errors + best(labels) + drawn)
    gains = laws(now) - laws(now + more)
    single = gains + rng.choice(residuals, len(gains)) - rng.choice(residuals, len(gains))
    return Gain(more, float(best(now) - best(now + more)), *interval(gains), *interval(single))
