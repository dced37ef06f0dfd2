"""POPGym's RepeatPrevious and RepeatFirst: name the suit of an earlier card."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.episodic_env import State
from memrl.envs.popgym.cards import SUITS, CardGame, symbols
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Cue, Obs


class _Repeat(CardGame):
    """The observation is the suit of one card per step: int64 [B]."""

    def __init__(self, num_envs: int, *, decks: int, device: torch.device | str = "cpu") -> None:
        faces = symbols(SUITS, decks)
        super().__init__(num_envs, faces=faces, length=len(faces) - 1, device=device)
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(SUITS)})
        self.action_space = spaces.Discrete(SUITS)

    def _draw(self, num: int) -> Tensors:
        return {"suit": self._deck(num)}

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": setups.at("suit", state["t"]).long()}


@final
class RepeatPrevious(_Repeat):
    """Name the suit of ``lookback`` env steps ago; earlier steps pay 0.

    With N cards an episode has N - 1 steps. Each of the last N - 1 - ``lookback`` steps pays
    1 / (N - 1 - ``lookback``) or costs as much. POPGym's option is ``k = lookback + 1``: its k = 1
    is the current card.

    Args:
        num_envs: B.
        decks: number of decks of 52 cards, shuffled together.
        lookback: env steps, from 0 to N - 2.
        device: of all tensors.

    Raises:
        ValueError: ``lookback`` leaves no step that pays.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        decks: int,
        lookback: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(num_envs, decks=decks, device=device)
        if not 0 <= lookback < self.length:
            raise ValueError(f"lookback is {lookback}, allowed: 0 … {self.length - 1} env steps")
        self.lookback = lookback

    def _pay(self, setups: Setups, t: Tensor, action: Tensor) -> Tensor:
        scale = 1 / (self.length - self.lookback)
        asked = t - self.lookback
        right = action == setups.at("suit", asked.clamp(min=0))
        return torch.where(right, scale, -scale).masked_fill_(asked < 0, 0)


@final
class RepeatFirst(_Repeat):
    """Name the suit of the episode's first card at every step; nothing marks it as the first.

    With N cards an episode has N - 1 steps, each of which pays 1 / (N - 1) or -1 / (N - 1).

    Args:
        num_envs: B.
        decks: number of decks of 52 cards, shuffled together.
        device: of all tensors.
    """

    def cue(self) -> Cue:
        first = self._current_setups()["suit"][:, 0].long()
        return Cue(first, self._state["t"] == 0)

    def choice(self, action: Tensor) -> Tensor:
        return torch.where(self._state["t"] == self.length - 1, action, -1)

    def _pay(self, setups: Setups, t: Tensor, action: Tensor) -> Tensor:
        right = action == setups.at("suit", torch.zeros_like(t))
        return torch.where(right, 1 / self.length, -1 / self.length)
