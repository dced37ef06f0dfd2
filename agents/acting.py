"""Acting with a memory of one's own: right by default, apart from what training keeps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memrl.policy import Policy
from memrl.rollout.env import Obs

FORGET = "state"  # the ablation that every memory has


class Actor:
    """A policy with the state of an acting session, behind ``begin``, ``act`` and ``memory``."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.begin()

    def begin(self, seed: int = 0, *, greedy: bool = False, ablate: str | None = None) -> None:
        """Forget the state and seed the draws; see ``memrl.agent.Agent.begin``."""
        self.policy.core.silence(None if ablate == FORGET else ablate)
        device = next(self.policy.parameters()).device
        self._generator = torch.Generator(device).manual_seed(seed)
        self._greedy, self._forget = greedy, ablate == FORGET
        self._state: Any = None
        self._rows = -1

    @torch.no_grad()
    def act(self, obs: Obs, start: Tensor | None = None) -> Tensor:
        """Actions [B, ...]; see ``memrl.agent.Agent.act``."""
        first = next(iter(obs.values()))
        opens = len(first) != self._rows
        if opens:
            self._rows = len(first)
            self._state = self.policy.initial_state(self._rows)
        if start is None or self._forget:
            fill = opens or self._forget
            start = torch.full((self._rows,), fill, dtype=torch.bool, device=first.device)
        out = self.policy.step(obs, self._state, start)
        self._state = out.state
        return out.actions.mode() if self._greedy else out.actions.sample(self._generator)

    def memory(self) -> dict[str, Tensor]:
        """What the memory holds after the last ``act``: each [B, ...]; empty before the first."""
        return {} if self._state is None else self.policy.core.diagnostics(self._state)
