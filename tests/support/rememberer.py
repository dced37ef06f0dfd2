"""An agent whose memory holds the first observation of an episode, and which acts on it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from memrl.memory.core import MemoryCore
from memrl.rollout.env import BatchedEnv, Obs


class Held(NamedTuple):
    """Its state."""

    memory: Tensor  # [B, 1, I]  the first features of the episode
    age: Tensor  # [B]


class Holder(MemoryCore[Held]):
    """Returns the first features of the episode; when silenced, zeros."""

    ablations = frozenset({"reads"})

    def initial_state(self, batch_size):
        return Held(torch.zeros(batch_size, 1, self.in_dim), torch.zeros(batch_size))

    def _update(self, x, state):
        held = torch.where((state.age == 0).view(-1, 1, 1), x.unsqueeze(1), state.memory)
        read = torch.zeros_like(x) if self.ablate else held[:, 0]
        return read, Held(held, state.age + 1)


class HoldingPolicy(nn.Module):
    """One-hot symbols, held by a ``Holder``."""

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.symbols, self.core = symbols, Holder(symbols, symbols)

    def encoder(self, obs: Obs) -> Tensor:
        return nn.functional.one_hot(obs["obs"], self.symbols).float()


class Rememberer:
    """Acts in Recall: names the symbol that its memory holds, and cue 0 if that is no cue."""

    unit = "env_steps"
    env_steps = experience = 0

    def __init__(self, env: BatchedEnv) -> None:
        self.policy = HoldingPolicy(int(env.observation_space["obs"].n))
        self.cues = int(env.action_space.n)

    def begin(self, seed=0, *, greedy=False, ablate=None):
        self.policy.core.silence(None if ablate == "state" else ablate)
        self.state, self.forgets = None, ablate == "state"

    def act(self, given, start=None):
        obs = given if isinstance(given, dict) else given.obs
        first = self.state is None
        if first:
            self.state = self.policy.core.initial_state(len(obs["obs"]))
        all_start = first or self.forgets
        start = torch.ones_like(obs["obs"], dtype=torch.bool) if all_start else given.start
        read, self.state = self.policy.core.step(self.policy.encoder(obs), self.state, start)
        named = read.argmax(dim=-1)
        return torch.where(named < self.cues, named, 0)

    def memory(self):
        return {}

    def memory_state(self):
        return self.state

    def replace_memory(self, state):
        self.state = state

    def learn(self, total, on_iteration, /):
        raise NotImplementedError

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
