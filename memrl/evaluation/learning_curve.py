"""How well an agent did while it learned, read from a run's metrics.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memrl.errors import RunError
from memrl.tracking.metrics_file import STEPS, read_metrics

_PARTS: Final = 50  # a window of smoothing is this part of the run


class Curve(NamedTuple):
    """Success, or return where the task has none, over training; rows without episodes left out."""

    env_steps: NDArray[np.float64]  # [K]
    score: NDArray[np.float64]  # [K]
    smooth: NDArray[np.float64]  # [K]; mean over ``window`` rows around each, per episode
    window: int  # rows; odd
    is_success: bool
    episodes: NDArray[np.float64]  # [K]; behind ``smooth``; infinite where nobody counted


def read_curve(metrics: Path) -> Curve:
    """Read a curve from a metrics.csv.

    Raises:
        RunError: the file is missing, or no episode has ended yet.
    """
    columns = read_metrics(metrics)
    is_success = bool(np.isfinite(columns.get("episode/success", np.array(np.nan))).any())
    score = columns.get("episode/success" if is_success else "episode/return")
    if score is None or not np.isfinite(score).any():
        raise RunError(f"{metrics} has no success and no return yet: no episode has ended")
    known = np.isfinite(score)
    window = 2 * (int(known.sum()) // _PARTS // 2) + 1
    weights = columns.get("episode/count", np.ones_like(score))[known]
    smooth = moving_mean(score[known], weights, window)
    counted = moving_sum(weights, window)
    episodes = counted if "episode/count" in columns else np.full_like(counted, np.inf)
    return Curve(columns[STEPS][known], score[known], smooth, window, is_success, episodes)


def moving_mean(
    values: NDArray[np.float64], weights: NDArray[np.float64], window: int
) -> NDArray[np.float64]:
    """The weighted mean over ``window`` (odd) values around each, over fewer at the two ends."""
    return moving_sum(values * weights, window) / moving_sum(weights, window)


def moving_sum(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The sum over ``window`` (odd) values around each, over fewer at the two ends."""
    centre = slice(window // 2, window // 2 + len(values))
    return np.asarray(np.convolve(values, np.ones(window))[centre])
