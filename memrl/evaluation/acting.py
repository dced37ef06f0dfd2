"""How an agent acts in episodes that are recorded or experimented on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from memrl.run.agent import Agent


@final
@dataclass(frozen=True)
class Acting:
    """How an agent acts, and how long.

    Attributes:
        seed: of the environments and of acting.
        greedy: take the likeliest action instead of a sampled one.
        ablate: the part of the memory to silence, as in ``Agent.begin``.
        max_steps: an episode that has not ended by then is cut off: kept as far as it went.
    """

    seed: int
    greedy: bool = False
    ablate: str | None = None
    max_steps: int = 500

    def begin(self, agent: Agent) -> None:
        """Let the agent begin so."""
        agent.begin(self.seed, greedy=self.greedy, ablate=self.ablate)
