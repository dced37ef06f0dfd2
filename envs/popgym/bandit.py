"""POPGym's MultiarmedBandit: find the arm that pays most often, and stay with it."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.episodes import Episodes, Outcome, State
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs


@final
class MultiarmedBandit(Episodes):
    """K arms pay with chances of their own, drawn uniformly from 0 … 1 for every episode.

    The observation says whether the last arm paid: int64 [B] of 0 or 1. It does not say which arm
    that was, so that agents need the previous action as well. Each of the T steps is worth 1 / T
    or its negative; time truncates the episode, nothing terminates it.

    Metrics: ``best``, the fraction of steps at which the arm with the best chance was pulled.

    Args:
        num_envs: B.
        arms: K, at least 2.
        length: T, in env steps.
        device: where everything lives.

    Raises:
        ValueError: fewer than two arms or one step.
    """

    metric_names = ("best",)

    def __init__(
        self, num_envs: int, *, arms: int, length: int, device: torch.device | str = "cpu"
    ) -> None:
        if arms < 2:
            raise ValueError(f"arms is {arms}; allowed: at least 2")
        super().__init__(num_envs, min_length=length, device=device)
        self.arms, self.length = arms, length
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(2)})
        self.action_space = spaces.Discrete(arms)

    def _draw(self, num: int) -> Tensors:
        chance = torch.rand((num, self.arms), generator=self.generator, device=self.device)
        return {"chance": chance, "best": chance.argmax(1, keepdim=True)}

    def _initial_state(self, setups: Setups) -> State:
        none = torch.zeros_like(setups.row)
        return {"paid": none, "well": none}

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": state["paid"].clone()}

    def _luck(self) -> Tensor:
        """Uniform numbers in [0, 1); an arm pays when its chance is above them: float32 [B]."""
        return torch.rand(self.num_envs, generator=self.generator, device=self.device)

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        paid = self._luck() < setups.at("chance", action)
        well = state["well"] + (action == setups["best"].squeeze(1))
        last = state["t"] == self.length - 1
        return Outcome(
            {"paid": paid.long(), "well": well},
            torch.where(paid, 1 / self.length, -1 / self.length),
            torch.zeros_like(last),
            last,
            {"best": well / self.length},
        )
