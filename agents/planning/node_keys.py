"""From observations to the keys of nodes: what has equal bytes is the same node."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from gymnasium import spaces
from torch import Tensor, nn

from memrl.nn.fingerprint import fingerprint
from memrl.rollout.env import Obs
from memrl.rollout.spaces import MASK


class Keyed(NamedTuple):
    """The keys of B observations."""

    key: Tensor  # int64 [B]
    recent: Tensor  # int64 [B, k - 1]  of the next call, in the same episode


@final
class NodeKeys(nn.Module):
    """Fingerprints of the last k observations of an episode, the action mask left out.

    Args:
        space: of the observations of one environment.
        history: k; in the first steps of an episode there are fewer.
        resolution: real numbers are rounded to multiples of it; None: they are not rounded.
        left_out: further entries that are no part of the key.

    Raises:
        ValueError: there is a resolution, and no entry has real numbers.
    """

    def __init__(
        self,
        space: spaces.Dict,
        *,
        history: int,
        resolution: float | None,
        left_out: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.names = [name for name in sorted(space.spaces) if name not in (MASK, *left_out)]
        self.history, self.resolution = history, resolution
        kept = [space[name] for name in self.names]
        real = any(isinstance(entry, spaces.Box) and entry.dtype.kind == "f" for entry in kept)
        if resolution is not None and not real:
            raise ValueError(
                f"agent.resolution={resolution:g} is not read: no entry of the observation has "
                f"real numbers ({', '.join(self.names)})"
            )

    def initial(self, rows: int, device: torch.device) -> Tensor:
        """The ``recent`` of the first step of an episode: [B, k - 1]."""
        return torch.zeros(rows, self.history - 1, dtype=torch.int64, device=device)

    def forward(self, obs: Obs, recent: Tensor) -> Keyed:
        """Observations [B, ...] to keys."""
        marks = [fingerprint(self._rounded(obs[name])) for name in self.names]
        mark = fingerprint(torch.stack(marks, dim=1))
        last = torch.cat([mark.unsqueeze(1), recent], dim=1)  # [B, k]
        return Keyed(fingerprint(last), last[:, : self.history - 1])

    def _rounded(self, x: Tensor) -> Tensor:
        if self.resolution is None or not x.is_floating_point():
            return x
        return (x / self.resolution).round().long()
