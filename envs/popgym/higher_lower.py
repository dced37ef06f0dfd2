"""POPGym's HigherLower: will the next card be of a higher rank?"""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.episodes import State
from memrl.envs.popgym.cards import RANKS, CardGame, shuffle, symbols
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

HIGHER, LOWER = 0, 1


@final
class HigherLower(CardGame):
    """Guess whether the next card's rank is higher (action 0) or lower (1) than that in view.

    The observation is the rank, ace low: int64 [B] of 0 … 12. With N cards an episode has N - 1
    steps, each worth 1 / N or its negative; equal ranks are worth nothing. Who counts the cards
    that are gone guesses better.

    Args:
        num_envs: B.
        decks: of 52 cards, shuffled into one.
        device: where everything lives.
    """

    def __init__(self, num_envs: int, *, decks: int, device: torch.device | str = "cpu") -> None:
        faces = symbols(RANKS, decks)
        self.cards = len(faces)
        super().__init__(num_envs, length=self.cards - 1, device=device)
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(RANKS)})
        self.action_space = spaces.Discrete(2)
        self._sorted = faces.to(self.device)

    def _draw(self, num: int) -> Tensors:
        return {"rank": shuffle(self._sorted, num, self.generator)}

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": setups.at("rank", state["t"]).long()}

    def _pay(self, setups: Setups, t: Tensor, action: Tensor) -> Tensor:
        now, then = setups.at("rank", t), setups.at("rank", t + 1)
        right = (then > now) == (action == HIGHER)
        return torch.where(right, 1 / self.cards, -1 / self.cards).masked_fill_(then == now, 0)
