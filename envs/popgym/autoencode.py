"""POPGym's Autoencode: watch all cards, then name their suits in reverse order."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.episodic_env import State
from memrl.envs.popgym.cards import SUITS, CardGame, symbols
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

PLAY, WATCH = 0, 1


@final
class Autoencode(CardGame):
    """The agent sees N cards, one per step, then names their suits, the last one first.

    The observation is ``mode`` (1: watch, 0: play) and ``suit``. As in POPGym, the last card comes
    with the mode *play* and is the first answer; afterwards ``suit`` is 0 and has no meaning. An
    episode has 2 N - 1 steps. Each of the last N steps pays 1 / N or -1 / N, the others pay 0.

    Args:
        num_envs: B.
        decks: number of decks of 52 cards, shuffled together.
        device: of all tensors.
    """

    def __init__(self, num_envs: int, *, decks: int, device: torch.device | str = "cpu") -> None:
        faces = symbols(SUITS, decks)
        super().__init__(num_envs, faces=faces, length=2 * len(faces) - 1, device=device)
        self.observation_space = spaces.Dict(
            {"mode": spaces.Discrete(2), "suit": spaces.Discrete(SUITS)}
        )
        self.action_space = spaces.Discrete(SUITS)

    def _draw(self, num: int) -> Tensors:
        return {"suit": self._deck(num)}

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
