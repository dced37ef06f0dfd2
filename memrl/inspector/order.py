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
    chance: float  # the η² to expect of a unit that has nothing to do with the cue

    @property
    def order(self) -> list[int]:
        """The units of which the cue explains most come first."""
        return [int(unit) for unit in np.argsort(-self.shares, kind="stable")]


def explained_by_cue(episodes: Sequence[Episode], name: str) -> Explained | None:
    """The share of each unit's variance between episodes that their cue explains (η²).

    At equal numbers of steps after the cue was first seen, the values of a unit differ between
    episodes. Of their sum of squares, pooled over these steps, it is the part between cues. Steps
    count that at least half of the episodes have.

    Args:
        episodes: of one agent.
        name: of an array of them, [T, ...] each; all that follows T are units.

    Returns:
        None where fewer than ``FEWEST_EPISODES`` saw a cue, or all saw the same.
    """
    known = [each for each in episodes if None not in (each.cue, each.cue_step)]
    if len(known) < FEWEST_EPISODES:
        return None
    between, total, chances = 0.0, 0.0, []
    for values, cues in _by_steps_after_cue(known, name):
        different = np.unique(cues)
        mean = values.mean(axis=0)
        total += ((values - mean) ** 2).sum(axis=0)
        for cue in different:
            of_cue = values[cues == cue]
            between += len(of_cue) * (of_cue.mean(axis=0) - mean) ** 2
        chances.append((len(different) - 1) / (len(cues) - 1))
    if not chances or not any(chances):
        return None
    shares = np.divide(between, total, out=np.zeros_like(total), where=np.asarray(total) > 0)
    return Explained(shares, float(np.mean(chances)))


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
        units = [episodes[i].arrays[name][first[i] + k].ravel() for i in np.flatnonzero(there)]
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
