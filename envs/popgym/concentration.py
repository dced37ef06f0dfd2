"""POPGym's Concentration: turn up pairs of cards that lie face down."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.episodes import Episodes, Outcome, State
from memrl.envs.popgym.cards import COLOURS, RANKS, shuffle, symbols
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

FOUND = 64


@final
class Concentration(Episodes):
    """Every step turns up one of N cards; two of a kind in a row stay, others are turned back.

    The observation is int64 [B, N]: the faces of the cards that are found and of the one or two
    in play, ``kinds`` where a card lies face down. A pair pays 2 / N. With T steps of time a miss
    costs 2 / T, the same card twice too; turning up a card that is found costs 1 / T for every
    card in play, and takes them back. Cards in play are shown once and not after the next step.
    An episode terminates when all are found and is truncated after T = 2 N steps.

    Metrics: ``success``, all found; ``found``, the fraction of cards.

    Args:
        num_envs: B.
        decks: of 52 cards, shuffled into one.
        kinds: faces that are told apart: 2 (colours) or 13 (ranks).
        device: where everything lives.

    Raises:
        ValueError: another number of kinds, or no deck.
    """

    metric_names = ("success", "found")

    def __init__(
        self, num_envs: int, *, decks: int, kinds: int, device: torch.device | str = "cpu"
    ) -> None:
        if kinds not in (COLOURS, RANKS):  # of a suit there are 13 cards: one is left over
            raise ValueError(f"kinds is {kinds}; allowed: {COLOURS} (colours), {RANKS} (ranks)")
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
            "waiting": torch.full_like(zero, self.cards),  # the first card of a pair, N: none
            "turned": zero.unsqueeze(1).expand(-1, 2),  # int64 [B, 2]: last turned up
            # uint8 [B, N]: what is seen of each card, plus FOUND where it stays
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
        closed = second | again  # nothing is in play afterwards

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
        """The table once the cards that were turned up last lie down, unless they were found."""
        turned, table = state["turned"], state["table"]
        seen = table.gather(1, turned)
        return table.scatter(1, turned, torch.where(seen >= FOUND, seen, self.kinds))
