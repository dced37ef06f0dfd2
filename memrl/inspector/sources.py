"""Where the reads of recorded episodes come from, for as many steps as one can wait for."""

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
    """

    def __init__(self, agent: Agent) -> None:
        encoder, core = (getattr(agent.policy, name, None) for name in ("encoder", "core"))
        self._encoder = encoder
        self._core = core if encoder is not None and isinstance(core, MemoryCore) else None
        self._features: list[Tensor] = []  # of each step [B, I]

    def add(self, obs: Obs) -> None:
        """Keep a step, before the agent acts."""
        if self._core is not None and self._encoder is not None:
            self._features.append(self._encoder(obs))

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
