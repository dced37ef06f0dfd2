"""The Gittins index of a Bernoulli arm, for a finite number of pulls."""

from __future__ import annotations

from typing import Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

LEVELS: Final = 200  # known chances that an arm is compared with; the step of an index is 1/200


@final
class Gittins:
    """Pulls the arm of the largest index, any of these if there are several.

    Args:
        horizon: K, pulls of a trial.
    """

    def __init__(self, horizon: int) -> None:
        self.indices = gittins_indices(horizon)

    def __call__(self, wins: Ints, pulls: Ints, left: int, rng: np.random.Generator) -> Ints:
        """The arms [N] for records [N, A], with ``left`` pulls to go, this one included."""
        index = self.indices[left, pulls, wins]
        best: Ints = (index + rng.random(index.shape) / (2 * LEVELS)).argmax(1)
        return best


def gittins_indices(horizon: int) -> Floats:
    """The sure chance of winning that is worth as much as an arm of each record.

    The index of an arm is the largest λ for which to pull it, and to leave it for a sure λ a pull
    once that is better, earns more than λ from the beginning (Gittins 1979; with a finite horizon
    Niño-Mora 2011). The arm's chance has a uniform prior. One dynamic program compares LEVELS
    values of λ; for 100 pulls it takes less than a second.

    Args:
        horizon: K, pulls of a trial.

    Returns:
        Float64 [K + 1, K + 1, K + 1]: the index with l pulls left, of an arm that was pulled n
        times and won w times; 0 where l is 0, or l + n is more than K, or w is more than n.
    """
    indices = np.zeros((horizon + 1,) * 3)
    known = (np.arange(LEVELS)[:, None, None] + 0.5) / LEVELS
    value = np.zeros((LEVELS, horizon + 1, horizon + 1))  # V_l(n, w) beside each λ; here l = 0
    for left in range(1, horizon + 1):
        size = horizon + 1 - left
        n, w = np.ogrid[:size, :size]
        p = np.where(w <= n, (1 + w) / (2 + n), 0.0)
        pull = p + p * value[:, 1:, 1:] + (1 - p) * value[:, 1:, :-1]
        leave = known * left
        better = pull > leave + 1e-12
        indices[left, :size, :size] = better.sum(0) / LEVELS
        value = np.maximum(pull, leave)
    return indices
