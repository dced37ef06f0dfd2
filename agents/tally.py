"""Means over the episodes that end while an agent plays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from memrl.rollout.env import BatchedEnv, Transition


@final
class EpisodeTally:
    """Return, length and metrics of the episodes that ended since the last ``take``."""

    def __init__(self, env: BatchedEnv) -> None:
        self._running = torch.zeros(2, env.num_envs, device=env.device)  # return and length
        self._names = ("return", "length", *env.metric_names)
        self._sums = torch.zeros(1 + len(self._names), dtype=torch.float64, device=env.device)
        self._steps = torch.zeros((), dtype=torch.int64, device=env.device)

    def add(self, step: Transition, valid: Tensor) -> None:
        """Count one step of every copy."""
        reward = torch.where(valid, step.reward, 0.0)
        self._running = self._running + torch.stack([reward, valid.to(reward.dtype)])
        ended = step.ended & valid
        metrics = [step.metrics[name] for name in self._names[2:]]
        values = torch.stack([torch.ones_like(reward), *self._running, *metrics])
        self._sums = self._sums + torch.where(ended, values, 0.0).sum(1)
        self._running = torch.where(ended | ~valid, 0.0, self._running)
        self._steps = self._steps + valid.sum()

    def take(self) -> dict[str, Tensor]:
        """Means by name as in docs/metrics.md, NaN when no episode ended; counts begin anew."""
        count, *sums = self._sums.unbind()
        self._sums = torch.zeros_like(self._sums)
        means = {f"episode/{name}": s / count for name, s in zip(self._names, sums, strict=True)}
        return {"episode/count": count} | means

    def take_steps(self) -> int:
        """Env steps since the last time that this was asked."""
        steps = int(self._steps)
        self._steps = torch.zeros_like(self._steps)
        return steps

    def state_dict(self) -> dict[str, Any]:
        """Episodes under way, and what was not taken yet."""
        return {"running": self._running, "sums": self._sums, "steps": self._steps}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self._running = saved["running"].to(self._running)
        self._sums = saved["sums"].to(self._sums)
        self._steps = saved["steps"].to(self._steps)
