"""What can be read off the memory, step by step, and what off the observation alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memrl.evaluation.statistics import Estimate, wilson
from memrl.memory.state import leaves
from memrl.probing.linear_probe import FOLDS, LEAST, read_off
from memrl.probing.play import NEVER, Played
from memrl.rollout.env import Obs

MOST_STEPS: Final = 32  # that are probed; of more, evenly spread ones
WIDEST: Final = 512  # a wider state is projected to so many numbers, at random


class Readout(NamedTuple):
    """The accuracy of linear probes at K steps; each rests on the episodes that last so long."""

    after: list[int]  # K; env steps after the cue was first seen, negative before
    memory: list[Estimate]  # K; of the state after it has read that step's observation
    observation: list[Estimate]  # K; of the features of that observation alone
    commonest: list[float]  # K; share of the commonest label: what naming it always would reach


def steps_to_probe(played: Played) -> list[int]:
    """Steps after the cue was first seen, that at least half of the episodes with a cue have."""
    seen = played.first_seen != NEVER
    first, length = played.first_seen[seen], played.length[seen]
    if not len(first):
        return []
    low, high = -int(np.median(first)), int(np.median(length - 1 - first))
    count = min(MOST_STEPS, high - low + 1)
    return sorted({round(float(step)) for step in np.linspace(low, high, count)})


@final
class Features:
    """Watches a play and keeps what the probes read: see ``memrl.probing.play.Watch``.

    Args:
        encode: the features [B, I] of observations.
        first_seen: int64 [B]; the step at which a row's cue is first seen, or NEVER.
        after: the steps to keep, counted from there.
    """

    def __init__(
        self, encode: Callable[[Obs], Tensor], first_seen: Tensor, after: list[int]
    ) -> None:
        self._encode, self._first, self.after = encode, first_seen, after
        self._memory: dict[int, Tensor] = {}
        self._observed: dict[int, Tensor] = {}
        self.rows = torch.zeros(len(after), len(first_seen), dtype=torch.bool)  # which were kept
        self._projection: Tensor | None = None

    def __call__(self, t: int, obs: Obs, state: Any, running: Tensor) -> None:
        due = [running & (self._first != NEVER) & (self._first + k == t) for k in self.after]
        if not any(bool(rows.any()) for rows in due):
            return
        held, seen = self._narrowed(state, len(running)), self._encode(obs)
        for i, rows in enumerate(due):
            for kept, now in ((self._memory, held), (self._observed, seen)):
                kept.setdefault(i, torch.zeros_like(now))
                kept[i] = torch.where(rows.unsqueeze(1), now, kept[i])
            self.rows[i] |= rows.cpu()

    def readout(self, labels: NDArray[np.int64]) -> Readout:
        """Fit the probes for labels [B]; steps with too few episodes of a label are left out."""
        result = Readout([], [], [], [])
        told = torch.from_numpy(labels)
        for i, step in enumerate(self.after):
            rows = self.rows[i]
            answers = told[rows]
            commonest = int(answers.bincount().max()) if len(answers) else 0
            if len(answers) < LEAST or len(answers) - commonest < FOLDS:
                continue
            result.after.append(step)
            result.memory.append(wilson(read_off(self._memory[i].cpu()[rows], answers)))
            result.observation.append(wilson(read_off(self._observed[i].cpu()[rows], answers)))
            result.commonest.append(commonest / len(answers))
        return result

    def _narrowed(self, state: Any, rows: int) -> Tensor:
        """All numbers of the state as [B, at most WIDEST]."""
        parts = [leaf.reshape(rows, -1).float() for leaf in leaves(state)]
        flat = torch.cat(parts, dim=1) if parts else torch.zeros(rows, 1)
        if flat.shape[1] <= WIDEST:
            return flat
        if self._projection is None:
            generator = torch.Generator().manual_seed(0)
            drawn = torch.randn(flat.shape[1], WIDEST, generator=generator)
            self._projection = drawn.to(flat.device) / flat.shape[1] ** 0.5
        return flat @ self._projection
