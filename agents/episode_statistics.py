"""Statistics of the episodes of an iteration, summed on the environments' device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from memrl.distributed.collectives import mean_over_ranks, ranks
from memrl.rollout.env import BatchedEnv, Transition


@final
class EpisodeStatistics:
    """Return, length and metrics of the episodes that ended since the last ``read``.

    Attributes:
        steps: env steps since the last ``read``, int64 [].
    """

    def __init__(self, env: BatchedEnv) -> None:
        self._running = torch.zeros(2, env.num_envs, device=env.device)  # return and length
        self._names = ("return", "length", *env.metric_names)
        self._begin()

    def _begin(self) -> None:
        device = self._running.device
        # Sums over episodes: their count, then the values named in `_names`; and how many of these
        # are known: NaN means that an episode has no such value.
        self._sums = torch.zeros(1 + len(self._names), dtype=torch.float64, device=device)
        self._known = torch.zeros_like(self._sums)
        self._reward = torch.zeros((), dtype=torch.float64, device=device)
        self.steps = torch.zeros((), dtype=torch.int64, device=device)

    def add(self, step: Transition, valid: Tensor) -> None:
        """Add one step of every environment; rows where ``valid`` [B] is False are ignored."""
        reward = torch.where(valid, step.reward, 0.0)
        self._running = self._running + torch.stack([reward, valid.to(reward.dtype)])
        ended = step.ended & valid
        metrics = [step.metrics[name] for name in self._names[2:]]
        values = torch.stack([torch.ones_like(reward), *self._running, *metrics])
        known = ended & ~values.isnan()
        self._sums = self._sums + torch.where(known, values, 0.0).sum(1)
        self._known = self._known + known.sum(1)
        self._running = torch.where(ended | ~valid, 0.0, self._running)
        self._reward = self._reward + reward.sum()
        self.steps = self.steps + valid.sum()

    def read(self) -> dict[str, Tensor]:
        """Return the means, named as in docs/metrics.md, and reset; NaN when no episode ended.

        With several ranks these are a rank's parts, as those of `masked_mean`.
        """
        _, *sums = self._sums.unbind()
        count, *known = mean_over_ranks(self._known).unbind()
        means = {
            f"episode/{name}": total / number
            for name, total, number in zip(self._names, sums, known, strict=True)
        }
        reward = self._reward / mean_over_ranks(self.steps)
        self._begin()
        return {"episode/count": count * ranks(), **means, "rollout/reward": reward}

    def forget(self) -> None:
        """Drop the running episodes: they will not be counted."""
        self._running = torch.zeros_like(self._running)

    def state_dict(self) -> dict[str, Any]:
        """The running episodes and the sums since the last ``read``."""
        return {
            "running": self._running,
            "sums": self._sums,
            "known": self._known,
            "reward": self._reward,
            "steps": self.steps,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self._running = saved["running"].to(self._running)
        self._sums = saved["sums"].to(self._sums)
        # Older states count episodes alone.
        known = saved.get("known", self._sums[:1].expand_as(self._sums))
        self._known = known.to(self._known, copy=True)
        self._reward = saved["reward"].to(self._reward)
        self.steps = saved["steps"].to(self.steps)
