"""Shuffled decks, and the base class of card games with a fixed number of steps."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import UInt8
from torch import Tensor

from memrl.envs.episodic_env import EpisodicEnv, Outcome, State
from memrl.envs.setups import Setups

CARDS = 52  # in a deck: card c has colour c % 2, suit c % 4, rank c // 4
COLOURS, SUITS, RANKS = 2, 4, 13
_SYMBOL_BITS = 4  # enough for a rank


def symbols(kinds: int, decks: int) -> UInt8[Tensor, " N"]:
    """The faces of the cards of sorted decks, as one of ``kinds`` symbols each.

    Args:
        kinds: 2 (colours), 4 (suits) or 13 (ranks).
        decks: number of decks of 52 cards, at least 1.

    Raises:
        ValueError: another number of kinds, or fewer than one deck.
    """
    if kinds not in (COLOURS, SUITS, RANKS) or decks < 1:
        raise ValueError(
            f"kinds is {kinds} and decks is {decks}, allowed: {COLOURS}, {SUITS} or {RANKS} kinds "
            "and at least 1 deck"
        )
    card = torch.arange(CARDS, dtype=torch.uint8)
    face = card // SUITS if kinds == RANKS else card % kinds
    return face.repeat(decks)


def shuffle(cards: UInt8[Tensor, " N"], num: int, generator: torch.Generator) -> Tensor:
    """``num`` independent uniform permutations of ``cards``: uint8 [num, N].

    It sorts random numbers with a card in their last bits; two of them tie once in 2^59.
    """
    keys = torch.empty((num, len(cards)), dtype=torch.int64, device=cards.device)
    keys.random_(generator=generator)
    keys = keys.bitwise_left_shift_(_SYMBOL_BITS).bitwise_or_(cards).sort(-1).values
    return torch.bitwise_and(keys, 2**_SYMBOL_BITS - 1).to(torch.uint8)


class CardGame(EpisodicEnv, ABC):
    """A game that terminates after ``length`` env steps.

    Observations follow from the setup and the step counter.

    Args:
        num_envs: B.
        faces: of the sorted cards (see `symbols`).
        length: env steps of an episode.
        device: of all tensors.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        faces: UInt8[Tensor, " N"],
        length: int,
        device: torch.device | str,
    ) -> None:
        super().__init__(num_envs, min_length=length, device=device)
        self.cards, self.length = len(faces), length
        self._faces = faces.to(self.device)

    def _deck(self, num: int) -> Tensor:
        """``num`` shuffled decks: uint8 [num, N]."""
        return shuffle(self._faces, num, self.generator)

    @abstractmethod
    def _pay(self, setups: Setups, t: Tensor, action: Tensor) -> Tensor:
        """The reward of the action at step ``t``, counted from 0: float32 [B]."""

    def _initial_state(self, setups: Setups) -> State:
        return {}

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        t = state["t"]
        terminated = t == self.length - 1
        reward = self._pay(setups, t, action)
        return Outcome(state, reward, terminated, torch.zeros_like(terminated), {})
