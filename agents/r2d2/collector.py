"""Playing for the replay: copies with an ε each, and all that lasts from step to step."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from memrl.agents.episode_statistics import EpisodeStatistics
from memrl.agents.epsilon_greedy import explore, of_network, open_actions
from memrl.agents.r2d2.config import R2D2Config
from memrl.agents.r2d2.experience import Experience, need_goals
from memrl.memory import state as states
from memrl.policies.q_network import QNetwork
from memrl.replay.hindsight import ACHIEVED
from memrl.replay.steps import named
from memrl.rollout.env import BatchedEnv


@final
class ReplayCollector:
    """Acts in B environments; ``generator`` draws the exploration and nothing else."""

    def __init__(
        self,
        env: BatchedEnv,
        network: QNetwork,
        config: R2D2Config,
        generator: torch.Generator,
        *,
        seed: int,
    ) -> None:
        self.env, self.network, self.generator = env, network, generator
        B, device = env.num_envs, env.device
        self.epsilon = ladder(config.epsilon, config.epsilon_alpha, B, device)
        self.keeps_goals = config.hindsight.kind != "none"
        if self.keeps_goals:
            need_goals(env)
        self.obs = env.reset(seed)
        self.start = torch.ones(B, dtype=torch.bool, device=device)
        self.state = states.clone(network.initial_state(B))
        self.episodes = EpisodeStatistics(env)

    def example(self) -> dict[str, Tensor]:
        """The entries of a step, each [B, ...]: their names, shapes and dtypes."""
        start, nothing = self.start, torch.zeros(len(self.start), device=self.env.device)
        goal = {ACHIEVED: self.obs["achieved_goal"]} if self.keeps_goals else {}
        return (
            self._sight()
            | goal
            | {
                "action": torch.zeros_like(start, dtype=torch.int64),
                "reward": nothing,
                "terminated": start,
                "valid": start,
            }
        )

    @torch.no_grad()
    def step(self, experience: Experience) -> None:
        """Act once everywhere, and write it down."""
        entries = self._sight()
        experience.sequences.keep(self.state)
        out = self.network.step(self.obs, self.state, self.start, donate=True)
        mask = open_actions(self.obs, out.q)
        action = explore(of_network(out.q), mask, self.epsilon, self.generator)
        after = self.env.step(action)
        valid = torch.ones_like(self.start) if after.valid is None else after.valid
        entries |= {
            "action": action,
            "reward": after.reward,
            "terminated": after.terminated,
            "valid": valid,
        }
        if self.keeps_goals:
            entries[ACHIEVED] = after.final_obs["achieved_goal"]
        experience.add(entries, after.ended & valid)
        self.episodes.add(after, valid)
        self.state, self.obs = out.state, after.obs
        self.start = after.ended | ~valid

    def _sight(self) -> dict[str, Tensor]:
        # Copies: nothing forbids an environment to write its next observation over the last one.
        seen = named({key: value.clone() for key, value in self.obs.items()})
        return seen | {"start": self.start}

    def state_dict(self) -> dict[str, Any]:
        """Environments, core state, sums and the generator."""
        return {
            "env": self.env.state_dict(),
            "start": self.start,
            "core": states.flatten(self.state),
            "tally": self.episodes.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from ``state_dict``.

        Where the environments begin anew (``exact_resume`` is False), so do state and sums.
        """
        self.obs = self.env.load_state_dict(saved["env"])
        self.generator.set_state(saved["generator"].cpu())
        if not self.env.exact_resume:
            self.start = torch.ones_like(self.start)
            self.episodes.forget()
            return
        self.start = saved["start"].to(self.start)
        self.state = states.loaded(self.state, saved["core"])
        self.episodes.load_state_dict(saved["tally"])


def ladder(epsilon: float, alpha: float, copies: int, device: torch.device) -> Tensor:
    """ε of every copy, ε^(1 + α i / (B − 1)): from explorers to players (Horgan et al. 2018)."""
    place = torch.arange(copies, device=device) / max(1, copies - 1)
    return epsilon ** (1 + alpha * place)
