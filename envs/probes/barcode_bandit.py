"""BarcodeBandit: bandits that come back, each with a barcode that names it, for trials."""

from __future__ import annotations

from typing import Final, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.catalogue import Levels
from memrl.envs.episodic_env import Outcome, State
from memrl.envs.probes.probe import Probe
from memrl.envs.setups import Setups, Tensors
from memrl.rollout.env import Obs

MOST_BITS: Final = 12  # a task draws its barcodes among all 2^bits


@final
class BarcodeBandit(Probe):
    """Pull the arms of a bandit ``pulls`` times; one arm pays 1, the others 0; a barcode names it.

    After the barcode bandits of Ritter et al. 2018; the numbers are ours. A task is ``barcodes``
    bandits C, each with a random barcode of ``bits`` bits, no two alike, and a paying arm, any of
    A. The observation is the barcode of the present bandit. In a trial the episodes come in rounds
    of C, each of which shows every bandit once in a random order. So in a trial of R rounds
    (``env.trial`` = R C) the last episode's bandit was met R − 1 times before: an agent that stored
    under each barcode which arm paid pulls it at once. With ``noise`` ν every pull pays as an arm
    of the other kind would with this chance.

    ``success`` is 1 if the first pull of the episode was the paying arm: by chance 1 / A; of who
    knows the task, 1. Returns of an episode of P pulls: by chance P (1 − ν + (A − 1) ν) / A; of who
    knows the task, P (1 − ν). Without noise the best agent without such knowledge tries the arms in
    turn, keeps the one that pays, and earns Σ_{j=1}^{min(A, P)} (P − j + 1) / A in an episode; it
    has found the arm by the end if P ≥ A − 1. In a trial of R rounds it then earns C times this sum
    and (R − 1) C P.

    Args:
        num_envs: B.
        arms: A, at least 2.
        barcodes: C, at least 1 and at most 2^bits.
        pulls: P, of an episode, at least 1.
        bits: of a barcode, 1 … 12.
        noise: ν, in [0, 0.5].
        device: of all tensors.
    """

    metric_names = ("success",)
    free_actions = True  # pulls after the paying arm is known, if one can see what was earned

    def __init__(
        self,
        num_envs: int,
        *,
        arms: int = 5,
        barcodes: int = 5,
        pulls: int = 5,
        bits: int = 10,
        noise: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        if arms < 2 or pulls < 1 or not 0 <= noise <= 0.5:
            raise ValueError(
                f"arms is {arms}, pulls is {pulls} and noise is {noise}, allowed: arms of at least "
                "2, pulls of at least 1 and noise in 0 … 0.5"
            )
        if not 1 <= bits <= MOST_BITS or not 1 <= barcodes <= 2**bits:
            raise ValueError(
                f"barcodes is {barcodes} and bits is {bits}, allowed: 1 … {MOST_BITS} bits, and 1 "
                "… 2^bits barcodes"
            )
        super().__init__(num_envs, min_length=pulls, device=device)
        self.arms, self.barcodes, self.pulls = arms, barcodes, pulls
        self.bits, self.noise = bits, noise
        self.observation_space = spaces.Dict({"obs": spaces.MultiBinary(bits)})
        self.action_space = spaces.Discrete(arms)

    @property
    def levels(self) -> Levels:
        chance = self.pulls * (1 - self.noise + (self.arms - 1) * self.noise) / self.arms
        tried = np.arange(min(self.arms, self.pulls))
        optimum = float((self.pulls - tried).sum() / self.arms) if self.noise == 0 else None
        return Levels("return", optimum=optimum, memoryless=chance, guess=chance)

    @property
    def known_task(self) -> float:
        return self.pulls * (1 - self.noise)

    def _draw(self, num: int) -> Tensors:
        keys = torch.rand(num, 2**self.bits, generator=self.generator, device=self.device)
        return {
            "code": keys.topk(self.barcodes).indices,
            "arm": self._integers(self.arms, num, self.barcodes),
        }

    def _initial_state(self, setups: Setups) -> State:
        size = (self.num_envs, self.barcodes)
        order = torch.rand(size, generator=self.generator, device=self.device).argsort(1)
        episode = torch.zeros_like(setups.row)
        return {"order": order, "episode": episode, "success": torch.zeros_like(episode).float()}

    def _next_episode(self, first: State, last: State) -> State:
        episode = last["episode"] + 1
        new_round = (episode % self.barcodes == 0).unsqueeze(1)
        order = torch.where(new_round, first["order"], last["order"])
        return {**first, "episode": episode, "order": order}

    def _bandit(self, state: State) -> Tensor:
        """Which of the task's bandits is played: [B]."""
        place = (state["episode"] % self.barcodes).unsqueeze(1)
        return state["order"].gather(1, place).squeeze(1)

    def _observe(self, setups: Setups, state: State) -> Obs:
        code = setups.at("code", self._bandit(state)).unsqueeze(1)
        place = torch.arange(self.bits, device=self.device)
        return {"obs": (code.bitwise_right_shift(place) & 1).to(torch.int8)}

    def _step(self, setups: Setups, state: State, action: Tensor) -> Outcome:
        right = action == setups.at("arm", self._bandit(state))
        other = torch.rand(self.num_envs, generator=self.generator, device=self.device) < self.noise
        success = torch.where(state["t"] == 0, right.float(), state["success"])
        ended = state["t"] == self.pulls - 1
        return Outcome(
            {**state, "success": success},
            (right ^ other).float(),
            ended,
            torch.zeros_like(ended),
            {"success": success.clone()},
        )
