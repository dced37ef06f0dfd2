"""Bandit: one pull of a Bernoulli bandit an episode, for trials of many pulls."""

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
class Bandit(Probe):
    """Pull one of ``arms`` arms, which pays 1 with the chance of this arm, else 0; then it is over.

    A task is the chances of all arms, independent and uniform in [0, 1), as in RL² (Duan et al.
    2016, section 3.1). An episode alone teaches nothing: a trial of K episodes of one task is
    their bandit of K pulls. With ``contexts`` C the observation is one of C symbols, drawn anew in
    every episode, and each has chances of its own; with 1 it is constant.

    Metrics, of one pull: ``regret``, the best chance in this context minus that of the arm, and
    ``best``, 1 if it was the best arm, else 0.

    Args:
        num_envs: B.
        arms: A, at least 2.
        contexts: C, at least 1.
        device: of all tensors.
    """

    metric_names = ("regret", "best")

    def __init__(
        self,
        num_envs: int,
        *,
        arms: int = 5,
        contexts: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        if arms < 2 or contexts < 1:
            raise ValueError(
                f"arms is {arms} and contexts is {contexts}, allowed: arms of at least 2 and "
                "contexts of at least 1"
            )
        super().__init__(num_envs, device=device)
        self.arms, self.contexts = arms, contexts
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(contexts)})
        self.action_space = spaces.Discrete(arms)

    @property
    def levels(self) -> Levels:
        return Levels("return", optimum=0.5, memoryless=0.5, guess=0.5)

    @property
    def known_task(self) -> float:
        return self.arms / (self.arms + 1)  # the mean of the largest of A uniform numbers

    def chances(self) -> Tensor:
        """The chances of the present tasks: float32 [B, C, A]."""
        return self._current_setups()["chance"].view(-1, self.contexts, self.arms)

    def _draw(self, num: int) -> Tensors:
        size = (num, self.contexts * self.arms)
        return {"chance": torch.rand(size, generator=self.generator, device=self.device)}

    def _initial_state(self, setups: Setups) -> State:
        return {"context": self._integers(self.contexts, self.num_envs)}

    def _observe(self, setups: Setups, state: State) -> Obs:
        return {"obs": state["context"].clone()}

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        first = state["context"] * self.arms
        chance = setups.at("chance", first + action)
        arms = first.unsqueeze(1) + torch.arange(self.arms, device=self.device)
        best = setups["chance"].gather(1, arms).amax(1)
        uniform = torch.rand(self.num_envs, generator=self.generator, device=self.device)
        return Outcome(
            state,
            (uniform < chance).float(),
            self._flags(True),
            self._flags(False),
            {"regret": best - chance, "best": (chance == best).float()},
        )
