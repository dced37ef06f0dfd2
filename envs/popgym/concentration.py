"""POPGym's Concentration: find pairs of face-down cards."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.episodic_env import EpisodicEnv, Outcome, State
from memrl.envs.popgym.cards import COLOURS, RANKS, shuffle, symbols
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

FOUND = 64


@final
class Concentration(EpisodicEnv):
    """Every step turns up one of N cards; a pair stays face up, other cards are turned back.

    The observation is int64 [B, N]: the faces of found cards and of the one or two cards in play,
    and ``kinds`` for a face-down card. A pair pays 2 / N. With a limit of T steps, a wrong pair
    costs 2 / T, as does the same card twice. Turning up a found card costs 1 / T for every card in
    play and turns these back. Cards in play are visible for one step. An episode terminates when
    all cards are found and is truncated after T = 2 N steps.

    Metrics: ``success``, 1 if all cards are found; ``found``, the fraction of found cards.

    Args:
        num_envs: B.
        decks: number of decks of 52 cards, shuffled together.
        kinds: number of different faces: 2 (colours) or 13 (ranks).
        device: of all tensors.

    Raises:
        ValueError: another number of kinds, or fewer than one deck.
    """

    metric_names = ("success", "found")

    def __init__(
        self, num_envs: int, *, decks: int, kinds: int, device: torch.device | str = "cpu"
    ) -> None:
        if kinds not in (COLOURS, RANKS):  # suits have 13 cards each, so that one is left over
            raise ValueError(f"kinds is {kinds}, allowed: {COLOURS} (colours), {RANKS} (ranks)")
        faces = symbols(kinds, decks)
        self.cards, self.kinds = len(faces), kinds
        super().__init__(num_envs, min_length=self.cards, device=device)
        self.max_steps = 2 * self.cards
        self.observation_space = spaces.Dict(
            {"obs": spaces.MultiDiscrete([kinds + 1] * self.cards)}
        )
        self.action_space = spaces.Discrete(self.cards)
        self._sorted = faces.to(self.device)

    def _draw(self, num: int) -> Tensors:
        return {"face": shuffle(self._sorted, num, self.generator)}

    def _initial_state(self, setups: Setups) -> State:
        zero = torch.zeros_like(setups.row)
        face_down = zero.new_full((1, 1), self.kinds, dtype=torch.uint8)
        return {
            "pairs": zero,
            "waiting": torch.full_like(zero, self.cards),  # the first card of a pair; N: none
            "turned": zero.unsqueeze(1).expand(-1, 2),  # int64 [B, 2]: the cards turned up last
            # uint8 [B, N]: the observation of each card, plus FOUND for found cards
            "table": face_down.expand(self.num_envs, self.cards),
        }

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": (state["table"] & (FOUND - 1)).long()}

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        table, waiting = self._turn_back(state), state["waiting"]
        second = waiting < self.cards
        first = torch.where(second, waiting, action)
        turned = torch.stack([first, action], 1)
        faces = torch.stack([setups.at("face", first), setups.at("face", action)], 1)
        again = table.gather(1, action.unsqueeze(1)).squeeze(1) >= FOUND
        pair = second & (faces[:, 0] == faces[:, 1]) & (first != action) & ~again
        closed = second | again  # no card is in play afterwards

        stays = torch.stack([pair | (again & ~second), pair | again], 1)
        loss = torch.where(second, -2 / self.max_steps, -1 / self.max_steps)
        reward = torch.where(pair, 2 / self.cards, loss).masked_fill_(~closed, 0)
        pairs = state["pairs"] + pair
        after = {
            "pairs": pairs,
            "waiting": torch.where(closed, self.cards, action),
            "turned": turned,
            "table": table.scatter_(1, turned, torch.where(stays, faces + FOUND, faces)),
        }
        done = pairs == self.cards // 2
        late = state["t"] == self.max_steps - 1
        metrics = {"success": done.float(), "found": pairs * (2 / self.cards)}
        return Outcome(after, reward, done, late, metrics)

    def _turn_back(self, state: State) -> Tensor:
        """The table after the cards turned up last are turned back, unless they were found."""
        turned, table = state["turned"], state["table"]
        seen = table.gather(1, turned)
        return table.scatter(1, turned, torch.where(seen >= FOUND, seen, self.kinds))
