"""How well a run did while it learned, read from its metrics.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memrl.errors import RunError
from memrl.evaluation.statistics import are_shares
from memrl.tracking.metrics_file import STEPS, read_metrics

Measure: TypeAlias = Literal["success", "return", "accuracy"]
_COLUMNS: Final[dict[str, Measure]] = {  # the first that has a value is drawn
    "episode/success": "success",
    "episode/return": "return",
    "train/accuracy": "accuracy",
}
_PARTS: Final = 50  # a window of smoothing is this part of the run


class Curve(NamedTuple):
    """A measure over training; rows without a value are left out."""

    experience: NDArray[np.float64]  # [K]; env steps, or the sequences of a supervised run
    score: NDArray[np.float64]  # [K]
    smooth: NDArray[np.float64]  # [K]; mean over ``window`` rows around each, per episode
    window: int  # rows; odd
    measure: Measure
    episodes: NDArray[np.float64]  # [K]; behind ``smooth``; infinite where nobody counted

    @property
    def is_share(self) -> bool:
        """Whether the score lies in [0, 1]."""
        return self.measure != "return"


def read_curve(metrics: Path, measure: Measure | None = None) -> Curve:
    """A measure; None: success, or return where there is none, or accuracy of a supervised run.

    Raises:
        RunError: the file is missing, or no episode has ended yet.
    """
    columns = read_metrics(metrics)
    if measure is not None:
        columns = {k: v for k, v in columns.items() if _COLUMNS.get(k, measure) == measure}
    found = [name for name in _COLUMNS if _is_drawn(name, columns.get(name, np.array(np.nan)))]
    if not found:
        raise RunError(f"{metrics} has no success and no return yet: no episode has ended")
    score = columns[found[0]]
    known = np.isfinite(score)
    window = 2 * (int(known.sum()) // _PARTS // 2) + 1
    weights = columns.get("episode/count", np.ones_like(score))[known]
    smooth = moving_mean(score[known], weights, window)
    counted = moving_sum(weights, window)
    episodes = counted if "episode/count" in columns else np.full_like(counted, np.inf)
    experience = columns[STEPS if STEPS in columns else "sequences"][known]
    return Curve(experience, score[known], smooth, window, _COLUMNS[found[0]], episodes)


def _is_drawn(name: str, values: NDArray[np.float64]) -> bool:
    """Whether a column has a value, and lies in 0 … 1 if it is drawn as a share."""
    is_share = _COLUMNS[name] != "return"
    return bool(np.isfinite(values).any()) and (not is_share or are_shares(values))


def moving_mean(
    values: NDArray[np.float64], weights: NDArray[np.float64], window: int
) -> NDArray[np.float64]:
    """The weighted mean over ``window`` (odd) values around each, over fewer at the two ends."""
    return moving_sum(values * weights, window) / moving_sum(weights, window)


def moving_sum(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The sum over ``window`` (odd) values around each, over fewer at the two ends."""
    centre = slice(window // 2, window // 2 + len(values))
    return np.asarray(np.convolve(values, np.ones(window))[centre])
