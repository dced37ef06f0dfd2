"""An agent whose memory holds the first observation of an episode, and which acts on it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memrl.agents import ActsWithMemory
from memrl.agents.acting import Actor
from memrl.memory.core import MemoryCore


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


class Output(NamedTuple):
    read: Tensor
    state: Any


class HoldingPolicy(nn.Module):
    """One-hot symbols, held by a ``Holder``."""

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.symbols, self.core = symbols, Holder(symbols, symbols)
        self.weight = nn.Parameter(torch.zeros(1))

    def encoder(self, obs):
        return nn.functional.one_hot(obs["obs"], self.symbols).float()

    def initial_state(self, batch_size):
        return self.core.initial_state(batch_size)

    def step(self, obs, state, start, *, donate=False):
        return Output(*self.core.step(self.encoder(obs), state, start))


class Rememberer(ActsWithMemory):
    """Acts in Recall: always names the symbol that its memory holds; else, cue 0."""

    def __init__(self, env) -> None:
        self.env_steps = 0
        self.policy = HoldingPolicy(int(env.observation_space["obs"].n))
        cues = int(env.action_space.n)

        def choose(out, obs, greedy, generator):
            named = out.read.argmax(dim=-1)
            return torch.where(named < cues, named, 0)

        self.actor = Actor(self.policy, env, choose)

    @classmethod
    def build(cls, parts, config):
        return cls(parts.env)

    def learn(self, total_steps, on_iteration, /):
        raise NotImplementedError

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
