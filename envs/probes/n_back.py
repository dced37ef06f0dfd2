"""NBack: compare every symbol with the one n steps earlier."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels
from memrl.envs.episodic_env import Outcome, State
from memrl.envs.probes.probe import Probe
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs


@final
class NBack(Probe):
    """Say of every symbol whether it equals the symbol ``n`` steps earlier (Kirchner 1958).

    The observation is one symbol 0 … symbols - 1. Action 1 means "same", 0 "different". From step
    ``n`` on each right answer pays 1 / (length - n), so that the return is the fraction of right
    answers. Half of the symbols repeat the one n steps earlier; the others are uniform over the
    other symbols, so a symbol alone reveals nothing. The return is 1 with a memory of ``n``
    symbols, and 1/2 with a memory of the latest symbol only.

    Args:
        num_envs: B.
        n: env steps between compared symbols, at least 1.
        symbols: number of different symbols, at least 2.
        length: env steps in an episode, more than ``n``.
        device: of all tensors.
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
                f"n is {n}, symbols is {symbols} and length is {length}, allowed: n of at least 1, "
                "symbols of at least 2 and length above n"
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
        rounds = self.length // self.n + 1  # leaves at least one symbol for the last observation
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
