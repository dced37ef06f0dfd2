"""POPGym's Autoencode: watch all the cards, then say their suits backwards."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.episodes import State
from memrl.envs.popgym.cards import SUITS, CardGame, shuffle, symbols
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

PLAY, WATCH = 0, 1


@final
class Autoencode(CardGame):
    """N cards are shown one a step; then their suits are asked for, the last one first.

    The observation is ``mode`` (1: watch, 0: play) and ``suit``. The last card arrives together
    with the mode *play*, as in POPGym, and is itself the first answer; from then on ``suit`` is 0
    and means nothing. An episode has 2 N - 1 steps; each of the last N is worth 1 / N or its
    negative, the others nothing.

    Args:
        num_envs: B.
        decks: of 52 cards, shuffled into one.
        device: where everything lives.
    """

    def __init__(self, num_envs: int, *, decks: int, device: torch.device | str = "cpu") -> None:
        faces = symbols(SUITS, decks)
        self.cards = len(faces)
        super().__init__(num_envs, length=2 * self.cards - 1, device=device)
        self.observation_space = spaces.Dict(
            {"mode": spaces.Discrete(2), "suit": spaces.Discrete(SUITS)}
        )
        self.action_space = spaces.Discrete(SUITS)
        self._sorted = faces.to(self.device)

    def _draw(self, num: int) -> Tensors:
        return {"suit": shuffle(self._sorted, num, self.generator)}

    def _observe(self, setups: Setups, state: State) -> Obs:
        t, last = state["t"], self.cards - 1
        suit = setups.at("suit", t.clamp(max=last)).long()
        mode = torch.where(t < last, WATCH, PLAY)
        return {"mode": mode, "suit": suit.masked_fill_(t > last, 0)}

    def _pay(self, setups: Setups, t: Tensor, action: Tensor) -> Tensor:
        last = self.cards - 1
        right = action == setups.at("suit", (2 * last - t).clamp(max=last))
        scale = 1 / self.cards
        return torch.where(right, scale, -scale).masked_fill_(t < last, 0)
