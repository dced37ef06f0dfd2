"""In which order the units of a memory stand: alike ones side by side, or by what they encode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memrl.inspector.model import Episode

FEWEST_UNITS: Final = 3  # of fewer, every order is as good
FEWEST_EPISODES: Final = 10  # with a cue; of fewer, chance explains much


class Explained(NamedTuple):
    """What the cue explains of N units."""

    shares: NDArray[np.float64]  # [N]  η² in [0, 1]
    chance: float  # the most to expect of a unit that has nothing to do with the cue

    @property
    def order(self) -> list[int]:
        """The units of which the cue explains most come first."""
        return [int(unit) for unit in np.argsort(-self.shares, kind="stable")]


def explained_by_cue(episodes: Sequence[Episode], name: str) -> Explained | None:
    """The share of each unit's variance that the cue of the episode explains (η²).

    The variance is that over all episodes and all steps after the cue was first seen; explained
    is, of the differences at an equal number of steps after it, the part between cues. What a unit
    does in all episodes alike is not explained. Steps count that at least half of the episodes
    have.

    Args:
        episodes: of one agent.
        name: of an array of them, [T, ...] each; all that follows T are units.

    Returns:
        None where fewer than ``FEWEST_EPISODES`` saw a cue, or all saw the same.
    """
    known = [each for each in episodes if None not in (each.cue, each.cue_step)]
    if len(known) < FEWEST_EPISODES:
        return None
    steps = list(_by_steps_after_cue(known, name))
    chances = [(len(np.unique(cues)) - 1) / (len(cues) - 1) for _, cues in steps]
    if not any(chances):
        return None
    values = np.concatenate([values for values, _ in steps])
    total = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
    between = sum(_between(*step) for step in steps)
    shares = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    return Explained(shares, float(np.mean(chances)))


def _between(values: NDArray[np.float64], cues: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sum of squares [N] of the cues' means about the mean of values [M, N]."""
    mean = values.mean(axis=0)
    of_cues = [values[cues == cue] for cue in np.unique(cues)]
    means = np.stack([len(own) ** 0.5 * (own.mean(axis=0) - mean) for own in of_cues])
    return np.asarray((means**2).sum(axis=0))


def _by_steps_after_cue(
    episodes: Sequence[Episode], name: str
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """From one step after the cue was first seen on: the units [M, N] of M episodes, their cues."""
    first = np.array([each.cue_step for each in episodes]) + 1
    lasts = np.array([each.length for each in episodes]) - first
    cues = np.array([each.cue for each in episodes])
    for k in range(lasts.max()):
        there = lasts > k
        if 2 * there.sum() < len(episodes):
            return
        units = [
            episode.arrays[name][begin + k].ravel()
            for episode, begin, lasts_on in zip(episodes, first, there, strict=True)
            if lasts_on
        ]
        yield np.nan_to_num(np.stack(units, dtype=np.float64, casting="unsafe")), cues[there]


def alike(values: Sequence[NDArray[Any]]) -> list[int]:
    """An order of units [T, N] in which those that move together stand side by side."""
    steps = np.concatenate([each.reshape(len(each), -1) for each in values]).astype(np.float64)
    if steps.shape[1] < FEWEST_UNITS or len(steps) < FEWEST_UNITS:
        return []
    centred = np.nan_to_num(steps - steps.mean(axis=0))
    length = np.linalg.norm(centred, axis=0)
    # Here, since it takes a fifth of a second and every run imports this module.
    from scipy.cluster.hierarchy import leaves_list, linkage  # type: ignore[import-untyped]

    courses = (centred / np.where(length > 0, length, 1.0)).T  # [N, T]
    return [int(unit) for unit in leaves_list(linkage(courses, "average"))]
