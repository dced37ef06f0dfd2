"""A stream of symbols, each compared with the one n steps before: is a memory kept up to date?"""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels
from memrl.envs.episodes import Outcome, State
from memrl.envs.probes.probe import Probe
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs


@final
class NBack(Probe):
    """Say of every symbol whether it is the one of ``n`` steps before (Kirchner 1958).

    The observation is one symbol 0 … symbols - 1. Action 1 says "the same", 0 "different"; from
    step ``n`` on each right answer pays 1 / (length - n), so that the return is the share of right
    answers. Half of the symbols repeat the one n before and the others are any other, so that each
    symbol by itself is uniform and tells nothing: the return is 1 with a memory of ``n`` symbols,
    1/2 with one of the latest only.

    Args:
        num_envs: B.
        n: how far back to compare, at least 1.
        symbols: how many there are, at least 2.
        length: env steps in an episode, more than ``n``.
        device: where everything lives.
    """

    free_actions = True

    def __init__(
        self,
        num_envs: int,
        *,
        n: int = 2,
        symbols: int = 3,
        length: int = 12,
        device: torch.device | str = "cpu",
    ) -> None:
        if n < 1 or symbols < 2 or length <= n:
            raise ValueError(
                f"n is {n}, symbols {symbols}, length {length}; allowed: n from 1, symbols from 2, "
                "length above n"
            )
        super().__init__(num_envs, min_length=length, device=device)
        self.n, self.symbols, self.length = n, symbols, length
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(symbols)})
        self.action_space = spaces.Discrete(2)

    @property
    def levels(self) -> Levels:
        return Levels("return", optimum=1.0, memoryless=0.5, guess=0.5)

    @property
    def action_names(self) -> tuple[str, ...]:
        return ("different", "same")

    def _draw(self, num: int) -> Tensors:
        rounds = self.length // self.n + 1  # with one symbol, at least, for the last observation
        same = self._integers(2, num, rounds, self.n) == 1
        change = 1 + self._integers(self.symbols - 1, num, rounds, self.n)
        change = change.masked_fill(same, 0)
        change[:, 0] = self._integers(self.symbols, num, self.n)
        return {"symbol": (change.cumsum(1) % self.symbols).flatten(1)}

    def _initial_state(self, setups: Setups) -> State:
        return {}

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": setups.at("symbol", state["t"])}

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        t = state["t"]
        before = setups.at("symbol", (t - self.n).clamp(min=0))
        same = setups.at("symbol", t) == before
        right = (action == same) & (t >= self.n)
        ended = t == self.length - 1
        return Outcome(state, right / (self.length - self.n), ended, self._flags(False), {})
