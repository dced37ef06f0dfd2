"""POPGym's HigherLower: guess whether the next card has a higher rank."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.episodic_env import State
from memrl.envs.popgym.cards import RANKS, CardGame, symbols
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

HIGHER, LOWER = 0, 1


@final
class HigherLower(CardGame):
    """Guess whether the next card's rank is higher (action 0) or lower (1) than the current one.

    The observation is the rank, ace low: int64 [B] of 0 … 12. With N cards an episode has N - 1
    steps, each of which pays 1 / N or -1 / N; equal ranks pay 0. Counting the cards that are gone
    improves the guesses.

    Args:
        num_envs: B.
        decks: number of decks of 52 cards, shuffled together.
        device: of all tensors.
    """

    def __init__(self, num_envs: int, *, decks: int, device: torch.device | str = "cpu") -> None:
        faces = symbols(RANKS, decks)
        super().__init__(num_envs, faces=faces, length=len(faces) - 1, device=device)
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(RANKS)})
        self.action_space = spaces.Discrete(2)

    def _draw(self, num: int) -> Tensors:
        return {"rank": self._deck(num)}

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": setups.at("rank", state["t"]).long()}

    def _pay(self, setups: Setups, t: Tensor, action: Tensor) -> Tensor:
        now, then = setups.at("rank", t), setups.at("rank", t + 1)
        right = (then > now) == (action == HIGHER)
        return torch.where(right, 1 / self.cards, -1 / self.cards).masked_fill_(then == now, 0)
