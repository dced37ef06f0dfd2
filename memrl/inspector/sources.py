"""What follows from the inputs of a memory: its gates, and where its reads come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from memrl.inspector.model import Episode
from memrl.memory.core import MemoryCore
from memrl.probing.provenance import METHODS, sources
from memrl.rollout.env import Obs
from memrl.run.agent import Agent


@final
class MemoryInputs:
    """Keeps what the memory of an agent is given at each step, in every environment.

    Args:
        agent: one without a memory core gets no sources.
        forgets: its state is reset before each step.
    """

    def __init__(self, agent: Agent, *, forgets: bool = False) -> None:
        self._agent, self._forgets = agent, forgets
        encoder, core = (getattr(agent.policy, name, None) for name in ("encoder", "core"))
        self._encoder = encoder
        self._core = core if encoder is not None and isinstance(core, MemoryCore) else None
        self._features: list[Tensor] = []  # of each step [B, I]

    def add(self, obs: Obs) -> dict[str, Tensor]:
        """Keep a step, before the agent acts; returns what only that step will know: [B, ...]."""
        if self._core is None or self._encoder is None:
            return {}
        features: Tensor = self._encoder(obs)
        self._features.append(features)
        state = None if self._forgets else self._agent.memory_state()
        if state is None:
            state = self._core.initial_state(len(features))
        return self._core.step_diagnostics(features, state)

    def with_sources(self, episodes: Sequence[Episode], steps: int) -> list[Episode]:
        """The episodes, with ``sources`` [T, T] in those that fit into ``steps`` altogether."""
        if self._core is None:
            return [*episodes]
        features, found = torch.stack(self._features), []  # [T, B, I]
        for row, episode in enumerate(episodes):
            if episode.length > steps:
                found.append(episode)
                continue
            steps -= episode.length
            weights, method = sources(self._core, features[: episode.length, row])
            arrays = {**episode.arrays, "sources": weights}
            found.append(episode._replace(arrays=arrays, sources_method=METHODS[method]))
        return found
