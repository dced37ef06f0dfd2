"""POPGym's MultiarmedBandit: find the arm that pays most often."""

from __future__ import annotations

from typing import final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.episodic_env import EpisodicEnv, Outcome, State
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs


@final
class MultiarmedBandit(EpisodicEnv):
    """Every episode draws the probability of each of K arms to pay, uniform in [0, 1).

    The observation is 1 if the last arm paid, else 0: int64 [B]. It does not show which arm that
    was, so agents also need the previous action. Each of the T steps pays 1 / T or -1 / T. The
    episode is truncated after T steps; nothing terminates it.

    Metrics: ``best``, the fraction of steps that pulled the best arm.

    Args:
        num_envs: B.
        arms: K, at least 2.
        length: T, in env steps.
        device: of all tensors.

    Raises:
        ValueError: fewer than two arms, or fewer than one step.
    """

    metric_names = ("best",)

    def __init__(
        self, num_envs: int, *, arms: int, length: int, device: torch.device | str = "cpu"
    ) -> None:
        if arms < 2:
            raise ValueError(f"arms is {arms}, allowed: at least 2")
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

    def _uniform(self) -> Tensor:
        """Uniform random numbers in [0, 1): float32 [B]; an arm with a larger probability pays."""
        return torch.rand(self.num_envs, generator=self.generator, device=self.device)

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        paid = self._uniform() < setups.at("chance", action)
        well = state["well"] + (action == setups["best"].squeeze(1))
        last = state["t"] == self.length - 1
        return Outcome(
            {"paid": paid.long(), "well": well},
            torch.where(paid, 1 / self.length, -1 / self.length),
            torch.zeros_like(last),
            last,
            {"best": well / self.length},
        )
