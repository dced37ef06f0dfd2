"""Model-Free Episodic Control: Q is the highest return of an action in similar states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from memrl.agents.config import Count, NonNegative, Share
from memrl.agents.episodic.agent import EpisodicConfig
from memrl.agents.episodic.return_buffer import Entries, StepsWithReturns
from memrl.agents.epsilon_greedy import ActionValues
from memrl.agents.state_checks import check_keys, check_weights
from memrl.memory.stores.dnd import Dictionaries, largest
from memrl.nn.vectors import OneHot, Plain
from memrl.rollout.env import Obs
from memrl.rollout.spaces import MASK


class MFECConfig(EpisodicConfig):
    """Model-free episodic control (Blundell et al. 2016)."""

    kind: Literal["mfec"] = "mfec"
    capacity: Count = 1_000_000
    key_dim: Count = 64  # width of the projection
    tolerance: NonNegative = 1.0e-5
    epsilon: Share = 0.005


@final
class Projection(nn.Module):
    """The flat observation times a fixed Gaussian matrix, which roughly preserves distances.

    Discrete entries are one-hot, all others unchanged; the action mask is left out.
    """

    weight: Tensor

    def __init__(self, space: spaces.Dict, key_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.names = [name for name in sorted(space.spaces) if name != MASK]
        parts = [_flat(space[name]) for name in self.names]
        self.parts = nn.ModuleList(parts)
        width = sum(part.out_dim for part in parts)
        weight = torch.randn(width, key_dim, generator=generator) / key_dim**0.5
        self.register_buffer("weight", weight)

    def forward(self, obs: Obs) -> Tensor:
        """Observations [n, ...] to keys [n, W]."""
        flat = [part(obs[name]) for name, part in zip(self.names, self.parts, strict=True)]
        return torch.cat([x.to(self.weight.dtype) for x in flat], dim=1) @ self.weight


def _flat(space: spaces.Space[Any]) -> OneHot | Plain:
    match space:
        case spaces.Discrete():
            return OneHot([int(space.n)], scalar=True)
        case spaces.MultiDiscrete() if space.nvec.ndim == 1:
            return OneHot([int(n) for n in space.nvec], scalar=False)
        case _:
            return Plain(tuple(space.shape or ()))


@final
class MFEC:
    """MFEC's memory: for each action, keys with the highest return seen at each.

    Q is the value of the same key if it is stored, else the mean over the p nearest keys. Returns
    are those of whole episodes; a truncated one adds γ^k V of its final observation.
    """

    horizon = None

    def __init__(
        self,
        space: spaces.Dict,
        config: MFECConfig,
        *,
        actions: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.config = config
        (key_seed,) = np.random.SeedSequence(seed, spawn_key=(1,)).generate_state(1).tolist()
        generator = torch.Generator().manual_seed(key_seed)
        self.policy = Projection(space, config.key_dim, generator).to(device)
        self.dictionaries = Dictionaries(
            actions,
            config.key_dim,
            capacity=config.capacity,
            rule=largest,
            tolerance=config.tolerance,
            find=config.index,
            device=device,
        )

    def entries(self, obs: Obs) -> Entries:
        """See ``Method.entries``: the keys, which never change."""
        return {"key": self.policy(obs)}

    def random_steps(self) -> int:
        """See ``Method.random_steps``."""
        return 0

    @torch.no_grad()
    def action_values(self, obs: Obs, *, mark: bool = True) -> ActionValues:
        """See ``Method.action_values``; an action with an empty dictionary has no estimate."""
        estimated, key = self.dictionaries.entries.count > 0, self.policy(obs)
        if self.dictionaries.empty:
            return ActionValues(key.new_zeros(len(key), len(estimated)), estimated)
        queries = key.expand(len(estimated), -1, -1)
        near = self.dictionaries.near(queries, self.config.neighbours, mark=mark)
        distance = (near.keys - key.unsqueeze(1)).norm(dim=-1)  # [A, B, p]
        same = near.found & (distance <= self.config.tolerance)
        exact = torch.where(same, near.values, -torch.inf).amax(dim=-1)
        total = torch.where(near.found, near.values, 0.0).sum(dim=-1)
        mean = total / near.found.sum(dim=-1).clamp(min=1)
        return ActionValues(torch.where(same.any(dim=-1), exact, mean).t(), estimated)

    def store(self, steps: StepsWithReturns, env_steps: int) -> dict[str, Tensor]:
        """See ``Method.store``."""
        entries = steps.entries
        written = self.dictionaries.write(entries["action"], entries["key"], steps.returns)
        again = torch.tensor(written.again / len(steps.returns))
        return {"memory/again": again, "memory/lost": torch.tensor(float(written.lost))}

    def improve(self, env_steps: int) -> dict[str, Tensor]:
        """See ``Method.improve``: there is nothing to learn."""
        return {}

    def memory_metrics(self) -> dict[str, Tensor]:
        """See ``Method.memory_metrics``."""
        return {"memory/entries": self.dictionaries.entries.count.sum()}

    def state_dict(self) -> dict[str, Any]:
        """See ``Method.state_dict``."""
        return {"policy": dict(self.policy.state_dict()), "store": self.dictionaries.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``Method.load_state_dict``."""
        check_keys(state, self.state_dict(), "mfec")
        check_weights(state["policy"], self.policy, "projection")
        self.dictionaries.load_state_dict(state["store"])
        self.policy.load_state_dict(state["policy"])
