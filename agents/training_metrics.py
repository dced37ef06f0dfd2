"""What an iteration reports: averages of its minibatches, its episodes, its memory."""

from __future__ import annotations

import torch
from torch import Tensor

from memrl.policies.backbone import Backbone
from memrl.rollout.storage import Rollout


class Averages:
    """Means of named scalars, summed on the device and read once."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._last: dict[str, Tensor] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, values: dict[str, Tensor]) -> None:
        """Add one more value to each mean."""
        for name, value in values.items():
            value = value.detach()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
            self._last[name] = value

    def set(self, name: str, value: Tensor) -> None:
        """A value that stands for the whole iteration."""
        self._sums[name], self._counts[name] = value.detach(), 1

    def count(self, name: str) -> int:
        """How many values a mean is of."""
        return self._counts[name]

    def last(self, name: str) -> float:
        """The latest value, on the host."""
        return float(self._last[name])

    def means(self) -> dict[str, Tensor]:
        """All means."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}


def episodes(rollout: Rollout) -> dict[str, Tensor]:
    """Means over the episodes that ended in the rollout; NaN when none did."""
    done = (rollout.terminated | rollout.truncated) & rollout.valid
    count = done.sum()
    per_episode = {"return": rollout.episode_return, "length": rollout.episode_length}
    means = {
        f"episode/{name}": torch.where(done, values, 0.0).sum() / count
        for name, values in (per_episode | rollout.metrics).items()
    }
    return {"episode/count": count} | means


def diagnose(policy: Backbone, state: object) -> dict[str, Tensor]:
    """Scalars of the memory's diagnostics: a mean each, and for weights over slots an entropy."""
    scalars = {}
    for name, value in policy.core.diagnostics(state).items():
        scalars[f"memory/{name}"] = value.float().mean()
        if name.endswith("_weights"):
            p = value.float()
            scalars[f"memory/{name}_entropy"] = -(p * (p + 1e-12).log()).sum(dim=-1).mean()
        elif value.dim() > 1 and value.is_floating_point():
            scalars[f"memory/{name}_rms"] = value.float().square().mean().sqrt()
    return scalars
