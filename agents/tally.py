"""What the episodes of an iteration came to, summed where the environments are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from memrl.rollout.env import BatchedEnv, Transition


class Tally:
    """Returns and lengths of running episodes, and sums over those that ended since ``read``."""

    def __init__(self, env: BatchedEnv) -> None:
        self._running = torch.zeros(2, env.num_envs, device=env.device)  # return, length
        self._names = ("return", "length", *env.metric_names)
        self._clear()

    def _clear(self) -> None:
        zero = torch.zeros((), device=self._running.device)
        self._sums = {name: zero.clone() for name in (*self._names, "count", "reward", "valid")}

    def add(self, step: Transition, valid: Tensor) -> None:
        """Count a step of every copy; ``valid`` [B] marks the rows that are one."""
        reward = torch.where(valid, step.reward, 0.0)
        self._running += torch.stack([reward, valid.to(reward.dtype)])
        done = step.ended & valid
        values = {"return": self._running[0], "length": self._running[1], **step.metrics}
        for name in self._names:
            self._sums[name] += torch.where(done, values[name], 0.0).sum()
        self._sums["count"] += done.sum()
        self._sums["reward"] += reward.sum()
        self._sums["valid"] += valid.sum()
        self._running.masked_fill_(done, 0.0)

    def read(self) -> dict[str, Tensor]:
        """Means over the episodes that ended, NaN when none did; and begin anew."""
        sums = self._sums
        means = {f"episode/{name}": sums[name] / sums["count"] for name in self._names}
        reward = sums["reward"] / sums["valid"]
        self._clear()
        return {"episode/count": sums["count"], **means, "rollout/reward": reward}

    def forget(self) -> None:
        """The episodes that ran are over without an end."""
        self._running.zero_()

    def state_dict(self) -> dict[str, Any]:
        """The running episodes, between two iterations."""
        return {"running": self._running}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self._running = state["running"].to(self._running, copy=True)
