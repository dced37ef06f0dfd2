"""Model-Free Episodic Control: the best return that each action ever had in states like this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from memrl.agents.config import Count, NonNegative, Share
from memrl.agents.episodic.agent import EpisodicConfig
from memrl.agents.episodic.return_buffer import Kept, Known
from memrl.agents.epsilon_greedy import Worth
from memrl.agents.state_checks import check_keys, check_weights
from memrl.memory.stores.dnd import Dictionaries, largest
from memrl.nn.observation import ACTION_MASK
from memrl.nn.vectors import OneHot, Plain
from memrl.rollout.env import Obs


class MFECConfig(EpisodicConfig):
    """Model-free episodic control (Blundell et al. 2016)."""

    kind: Literal["mfec"] = "mfec"
    capacity: Count = 1_000_000
    key_dim: Count = 64  # width of the projection
    tolerance: NonNegative = 1.0e-5
    epsilon: Share = 0.005


@final
class Projection(nn.Module):
    """The flat observation times a Gaussian matrix that is drawn once: distances are kept, about.

    Discrete entries are one-hot, all others as they are; the action mask is left out.
    """

    weight: Tensor

    def __init__(self, space: spaces.Dict, key_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.names = [name for name in sorted(space.spaces) if name != ACTION_MASK]
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
    """What MFEC remembers: for every key the largest return that an action had there.

    Q is the value of the very key where there is one, else the mean over the p nearest. Returns are
    those of whole episodes; one that was cut off goes on with γ^k V of its last observation.
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
        self.store = Dictionaries(
            actions,
            config.key_dim,
            capacity=config.capacity,
            rule=largest,
            tolerance=config.tolerance,
            find=config.index,
            device=device,
        )

    def keep(self, obs: Obs) -> Kept:
        """See ``Method.keep``: the key, which never changes."""
        return {"key": self.policy(obs)}

    def random_until(self) -> int:
        """See ``Method.random_until``."""
        return 0

    @torch.no_grad()
    def worth(self, obs: Obs, *, mark: bool = True) -> Worth:
        """See ``Method.worth``: an empty dictionary reads 0 and is not known."""
        known, key = self.store.entries.count > 0, self.policy(obs)
        if self.store.empty:
            return Worth(key.new_zeros(len(key), len(known)), known)
        near = self.store.near(key.expand(len(known), -1, -1), self.config.neighbours, mark=mark)
        distance = (near.keys - key.unsqueeze(1)).norm(dim=-1)  # [A, B, p]
        same = near.found & (distance <= self.config.tolerance)
        exact = torch.where(same, near.values, -torch.inf).amax(dim=-1)
        total = torch.where(near.found, near.values, 0.0).sum(dim=-1)
        mean = total / near.found.sum(dim=-1).clamp(min=1)
        return Worth(torch.where(same.any(dim=-1), exact, mean).t(), known)

    def remember(self, steps: Known, env_steps: int) -> dict[str, Tensor]:
        """See ``Method.remember``."""
        written = self.store.write(steps.kept["action"], steps.kept["key"], steps.returns)
        again = torch.tensor(written.again / len(steps.returns))
        return {"memory/again": again, "memory/lost": torch.tensor(float(written.lost))}

    def improve(self, env_steps: int) -> dict[str, Tensor]:
        """See ``Method.improve``: there is nothing to be learned."""
        return {}

    def holdings(self) -> dict[str, Tensor]:
        """See ``Method.holdings``."""
        return {"memory/entries": self.store.entries.count.sum()}

    def state_dict(self) -> dict[str, Any]:
        """See ``Method.state_dict``."""
        return {"policy": dict(self.policy.state_dict()), "store": self.store.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See ``Method.load_state_dict``."""
        check_keys(state, self.state_dict(), "mfec")
        check_weights(state["policy"], self.policy, "projection")
        self.store.load_state_dict(state["store"])
        self.policy.load_state_dict(state["policy"])
