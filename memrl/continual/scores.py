"""Forgetting and transfer, from scores after each task (Wołczyk et al. 2021, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


class Transfer(NamedTuple):
    """How N tasks went that were learned one after the other."""

    average: float  # mean score over all tasks at the end
    forgetting: float  # mean loss of a task's score from its own end to the end; < 0: it gained
    backward: float  # mean gain of the tasks before the last (Lopez-Paz & Ranzato 2017, eq. 3)
    forward: float | None  # how much faster later tasks were learned than alone; None: not known


def transfer(
    scores: Float[np.ndarray, "N N"],
    areas: Sequence[float] | None = None,
    alone: Sequence[float] | None = None,
) -> Transfer:
    """Average score, forgetting and transfer.

    Args:
        scores: ``scores[i, j]`` is that of task j after task i was learned.
        areas: the mean score of each task while it was learned, in [0, 1].
        alone: the same of an agent that learned this task only, from its beginning. Forward
            transfer is known with both, and is the mean over the tasks after the first.
    """
    last, own = scores[-1], np.diagonal(scores)
    gained = last - own
    earlier = gained[:-1]
    return Transfer(
        average=float(last.mean()),
        forgetting=float((own - last).mean()),
        backward=float(earlier.mean()) if len(earlier) else 0.0,
        forward=None if areas is None or alone is None else _forward(areas, alone),
    )


def _forward(areas: Sequence[float], alone: Sequence[float]) -> float | None:
    """FT_i = (AUC_i − AUC_i^b) / (1 − AUC_i^b), the mean over the tasks after the first."""
    gains = [
        (area - base) / (1 - base)
        for area, base in zip(areas[1:], alone[1:], strict=True)
        if base < 1
    ]
    return sum(gains) / len(gains) if gains else None


def area(experience: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    """The mean score over the env steps of a run: each row counts as the steps since the last."""
    steps = np.diff(experience, prepend=0.0)
    return float((steps * score).sum() / steps.sum())
