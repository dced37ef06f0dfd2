"""How much of what a memory reads was written while the cue was in view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memrl.evaluation.statistics import Estimate, mean
from memrl.memory.core import MemoryCore
from memrl.probing.play import Played
from memrl.probing.provenance import Sources, sources
from memrl.rollout.env import Obs

EXAMPLES: Final = 10  # episodes
LONGEST: Final = 200  # env steps of such an episode: gradients take a time that grows as its square


class CueReads(NamedTuple):
    """Shares of reads that come from the steps from the cue's first to its last view.

    Of a few episodes. ``…_even`` is what the share would be if each earlier step had the same.
    """

    later: Estimate  # mean over the steps after the last view
    later_even: float
    last: Estimate  # of the last step
    last_even: float
    example: Sources  # of the first of these episodes
    cue: tuple[int, int]  # … and the first and last step that saw its cue


@final
class Inputs:
    """Watches a play and keeps the memory's input in some rows: see ``memrl.probing.play.Watch``.

    Args:
        encode: the features [B, I] of observations.
        rows: int64 [M].
    """

    def __init__(self, encode: Callable[[Obs], Tensor], rows: NDArray[np.int64]) -> None:
        self._encode, self.rows = encode, rows
        self.features: list[Tensor] = []  # at each step [M, I]

    def __call__(self, t: int, obs: Obs, state: Any, running: Tensor) -> None:
        if not len(self.rows):
            return
        here = torch.from_numpy(self.rows).to(running.device)
        self.features.append(self._encode({key: value[here] for key, value in obs.items()}))


def examples(played: Played, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first of these rows that are short enough: at most ``EXAMPLES`` indices."""
    return np.flatnonzero(rows & (played.length <= LONGEST))[:EXAMPLES]


def reads_of_cue(core: MemoryCore[Any], inputs: Inputs, played: Played) -> CueReads | None:
    """Where the reads of these rows come from; each has seen its cue. None: there are no rows."""
    if not len(inputs.rows):
        return None
    x, found, shares = torch.stack(inputs.features), [], []
    for i, row in enumerate(inputs.rows):
        first, last, length = (
            int(each[row]) for each in (played.first_seen, played.last_seen, played.length)
        )
        found.append(sources(core, x[:length, i]))
        readers = np.arange(min(last + 1, length - 1), length)
        of_cue = found[-1].weights[readers, first : last + 1].sum(axis=1)
        even = (last + 1 - first) / (readers + 1)
        shares.append((of_cue.mean(), even.mean(), of_cue[-1], even[-1]))
    row = inputs.rows[0]
    later, later_even, of_last, last_even = np.array(shares).T
    return CueReads(
        mean(later, least=0.0, greatest=1.0),
        float(later_even.mean()),
        mean(of_last, least=0.0, greatest=1.0),
        float(last_even.mean()),
        found[0],
        (int(played.first_seen[row]), int(played.last_seen[row])),
    )
