"""Estimates from few episodes or seeds, with intervals that say how little is known."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE: Final = 0.95


class Estimate(NamedTuple):
    """A mean with its 95 % confidence interval."""

    mean: float
    low: float
    high: float
    error: float  # standard error of the mean; NaN for a single value
    samples: int  # values that it rests on

    def __str__(self) -> str:
        span = f" [{self.low:.3g}, {self.high:.3g}]" if self.samples > 1 else ""
        return f"{self.mean:.3g}{span}"


def wilson(values: ArrayLike) -> Estimate:
    """A rate from outcomes 0 and 1, with Wilson's score interval (1927).

    It stays within [0, 1] and keeps a width when all outcomes agree, where mean ± error has none.
    NaN values (episodes without such an outcome) are left out.

    Raises:
        ValueError: no value is left, or one lies outside of 0 … 1.
    """
    outcomes = _finite(values)
    if not are_shares(outcomes):
        wrong = outcomes[(outcomes < 0) | (outcomes > 1)][0]
        raise ValueError(f"an outcome is {wrong:g}, allowed: 0 … 1")
    n, p, z = len(outcomes), float(outcomes.mean()), NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # The interval touches 0 and 1 exactly when all outcomes agree; rounding must not cross p.
    low, high = min(max(centre - reach, 0.0), p), max(min(centre + reach, 1.0), p)
    return Estimate(p, low, high, _standard_error(outcomes), n)


def are_shares(values: ArrayLike) -> bool:
    """Whether all values lie in 0 … 1; NaN is left out."""
    numbers = np.asarray(values, dtype=np.float64)
    return not bool(((numbers < 0) | (numbers > 1)).any())


def mean(values: ArrayLike, *, least: float = -math.inf, greatest: float = math.inf) -> Estimate:
    """A mean with Student's t interval; for a single value it is as wide as possible.

    Args:
        values: NaN is left out.
        least: no value can be smaller; the interval ends there.
        greatest: no value can be larger.

    Raises:
        ValueError: no value is left.
    """
    numbers = _finite(values)
    centre, error = float(numbers.mean()), _standard_error(numbers)
    reach = t_quantile(len(numbers) - 1) * error if len(numbers) > 1 else math.inf
    # Rounding may put the mean itself outside.
    low, high = max(centre - reach, min(least, centre)), min(centre + reach, max(greatest, centre))
    return Estimate(centre, low, high, error, len(numbers))


def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """How many standard errors Student's t interval reaches to either side.

    Args:
        freedom: degrees of freedom, 1 or more.
        confidence: probability inside the interval, in (0, 1).
    """
    low, high = 0.0, 1.0
    while _inside(high, freedom) < confidence:
        high *= 2
    for _ in range(80):  # bisection, to the last digit
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, freedom) < confidence else (low, middle)
    return high


def _inside(t: float, freedom: int) -> float:
    """P(|T| <= t): the finite series for whole degrees of freedom (A&S 26.7.3-4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + odd, freedom - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    numbers = numbers[~np.isnan(numbers)]
    if not len(numbers):
        raise ValueError("an estimate needs at least one value that is not NaN")
    return numbers


def _standard_error(numbers: NDArray[np.float64]) -> float:
    n = len(numbers)
    return float(numbers.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
