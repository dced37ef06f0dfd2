"""POPGym's CountRecall: count how often a face was dealt."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from jaxtyping import UInt8
from torch import Tensor

from memrl.envs.episodic_env import State
from memrl.envs.popgym.cards import CardGame, symbols
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs


def count(
    dealt: UInt8[Tensor, "B N"], asked: UInt8[Tensor, "B N"], kinds: int
) -> UInt8[Tensor, "B N"]:
    """How often ``asked[b, t]`` occurs among ``dealt[b, 0]`` … ``dealt[b, t]``."""
    faces = torch.arange(kinds, dtype=torch.uint8, device=dealt.device)
    so_far = (dealt.unsqueeze(-1) == faces).cumsum(1)  # [B, N, K]
    return so_far.gather(-1, asked.long().unsqueeze(-1)).squeeze(-1).to(torch.uint8)


@final
class CountRecall(CardGame):
    """Every step deals a card to count, and a second card whose count the agent must name.

    The observation is int64 [B, 2]: the faces of the first and of the second card. The right action
    is how often the second face was dealt as a first card so far, the current card included.
    POPGym checks it when it deals the next pair. With N cards an episode has N - 1 steps, each of
    which pays 1 / (N - 1) or -1 / (N - 1).

    Args:
        num_envs: B.
        decks: number of decks of 52 cards, shuffled together.
        kinds: number of different faces: 2 (colours), 4 (suits) or 13 (ranks).
        device: of all tensors.
    """

    def __init__(
        self, num_envs: int, *, decks: int, kinds: int, device: torch.device | str = "cpu"
    ) -> None:
        faces = symbols(kinds, decks)
        super().__init__(num_envs, faces=faces, length=len(faces) - 1, device=device)
        self.kinds = kinds
        self.observation_space = spaces.Dict({"obs": spaces.MultiDiscrete([kinds, kinds])})
        self.action_space = spaces.Discrete(len(faces) // kinds + 1)

    def _draw(self, num: int) -> Tensors:
        dealt, asked = (self._deck(num) for _ in range(2))
        return {"dealt": dealt, "asked": asked, "count": count(dealt, asked, self.kinds)}

    def _observe(self, setups: Setups, state: State) -> Obs:
        t = state["t"]
        return {"obs": torch.stack([setups.at("dealt", t), setups.at("asked", t)], 1).long()}

    def _pay(self, setups: Setups, t: Tensor, action: Tensor) -> Tensor:
        right = action == setups.at("count", t)
        return torch.where(right, 1 / self.length, -1 / self.length)
