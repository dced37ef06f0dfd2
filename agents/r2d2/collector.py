"""Collects steps for the replay buffer; every environment has its own ε."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from memrl.agents.episode_statistics import EpisodeStatistics
from memrl.agents.epsilon_greedy import all_estimated, allowed_actions, epsilon_greedy_action
from memrl.agents.r2d2.config import R2D2Config
from memrl.agents.r2d2.replay_buffer import ReplayBuffer, check_goal_reward, check_goals
from memrl.memory import state as states
from memrl.policies.q_network import QNetwork
from memrl.replay.hindsight import ACHIEVED
from memrl.replay.steps import named
from memrl.rollout.env import BatchedEnv, copied
from memrl.rollout.times import Times


@final
class ReplayCollector:
    """Acts ε-greedily in B environments; ``generator`` is used for exploration only.

    ``times`` measures the environments' steps.
    """

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
        self.epsilon = epsilon_per_env(config.epsilon, config.epsilon_alpha, B, device)
        self.stores_goals = config.hindsight.kind != "none"
        self._goals_unchecked = self.stores_goals
        if self.stores_goals:
            check_goals(env)
        self.obs = env.reset(seed)
        self.start = torch.ones(B, dtype=torch.bool, device=device)
        self.state = states.clone(network.initial_state(B))
        self.episodes, self.times = EpisodeStatistics(env), Times()

    def example(self) -> dict[str, Tensor]:
        """A step as it will be stored, for names, shapes and dtypes: each [B, ...]."""
        start, reward = self.start, torch.zeros(len(self.start), device=self.env.device)
        goal = {ACHIEVED: self.obs["achieved_goal"]} if self.stores_goals else {}
        return (
            self._entries()
            | goal
            | {
                "action": torch.zeros_like(start, dtype=torch.int64),
                "reward": reward,
                "terminated": start,
                "valid": start,
            }
        )

    @torch.no_grad()
    def step(self, replay: ReplayBuffer) -> None:
        """Step every environment once and add the steps to the replay buffer."""
        entries = self._entries()
        replay.sequences.keep(self.state)
        out = self.network.step(self.obs, self.state, self.start, donate=True)
        mask = allowed_actions(self.obs, out.q)
        action = epsilon_greedy_action(all_estimated(out.q), mask, self.epsilon, self.generator)
        with self.times.of("env"):
            after = self.env.step(action)
        valid = torch.ones_like(self.start) if after.valid is None else after.valid
        entries |= {
            "action": action,
            "reward": after.reward,
            "terminated": after.terminated,
            "valid": valid,
        }
        if self.stores_goals:
            entries[ACHIEVED] = after.final_obs["achieved_goal"]
        if self._goals_unchecked:
            self._goals_unchecked = False
            check_goal_reward(self.env, after)
        replay.add(entries, after.ended & valid)
        self.episodes.add(after, valid)
        self.state, self.obs = out.state, after.obs
        self.start = after.ended | ~valid

    def _entries(self) -> dict[str, Tensor]:
        return named(copied(self.obs)) | {"start": self.start}

    def state_dict(self) -> dict[str, Any]:
        """The environments, the core's state, episode statistics and the generator."""
        return {
            "env": self.env.state_dict(),
            "start": self.start,
            "core": states.flatten(self.state),
            "tally": self.episodes.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from ``state_dict``.

        Environments without ``exact_resume`` are reset; so are the core's state and the running
        episodes.
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


def epsilon_per_env(epsilon: float, alpha: float, num_envs: int, device: torch.device) -> Tensor:
    """ε of every environment [B], ε^(1 + α i / (B − 1)) for i = 0 … B − 1 (Horgan et al. 2018)."""
    position = torch.arange(num_envs, device=device) / max(1, num_envs - 1)
    return epsilon ** (1 + alpha * position)
