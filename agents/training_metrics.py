"""Metrics of an iteration: averages over minibatches, episode statistics, memory diagnostics.

With several ranks the loop reports their means over ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memrl.distributed.collectives import mean_over_ranks, ranks
from memrl.policies.backbone import Backbone
from memrl.rollout.storage import Rollout


class Averages:
    """Means of named scalars. Sums stay on the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._last: dict[str, Tensor] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, values: dict[str, Tensor]) -> None:
        """Add a value to the mean of each name."""
        for name, value in values.items():
            value = value.detach()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
            self._last[name] = value

    def set(self, name: str, value: Tensor) -> None:
        """Set the value of the whole iteration, in place of a mean."""
        self._sums[name], self._counts[name] = value.detach(), 1

    def count(self, name: str) -> int:
        """The number of values in a mean."""
        return self._counts[name]

    def last(self, name: str) -> Tensor:
        """The latest value."""
        return self._last[name]

    def means(self) -> dict[str, Tensor]:
        """All means."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}


def episode_metrics(rollout: Rollout) -> dict[str, Tensor]:
    """Means over the episodes that ended in the rollout and have such a value; NaN if none.

    With several ranks these are a rank's parts, as those of `masked_mean`.
    """
    done = (rollout.terminated | rollout.truncated) & rollout.valid
    per_episode = {"return": rollout.episode_return, "length": rollout.episode_length}
    values = per_episode | rollout.metrics
    known = [done & ~value.isnan() for value in values.values()]
    count, *numbers = mean_over_ranks(torch.stack([done.sum(), *(k.sum() for k in known)])).unbind()
    means = {
        f"episode/{name}": torch.where(there, value, 0.0).sum() / number
        for (name, value), there, number in zip(values.items(), known, numbers, strict=True)
    }
    return {"episode/count": count * ranks()} | means


def memory_metrics(policy: Backbone, state: object) -> dict[str, Tensor]:
    """Scalars of the memory's diagnostics, as in docs/metrics.md.

    Each diagnostic gives its mean. Weights over slots also give their entropy, other diagnostics
    of more than one dimension their root mean square.
    """
    scalars = {}
    for name, value in policy.core.diagnostics(state).items():
        scalars[f"memory/{name}"] = value.float().mean()
        if name.endswith("_weights"):
            p = value.float()
            scalars[f"memory/{name}_entropy"] = -(p * (p + 1e-12).log()).sum(dim=-1).mean()
        elif value.dim() > 1 and value.is_floating_point():
            scalars[f"memory/{name}_rms"] = value.float().square().mean().sqrt()
    return scalars
