"""A countdown task and an agent that implement the protocols with next to nothing."""

from __future__ import annotations

import math
from typing import Any

import torch
from gymnasium import spaces

from memrl.rollout.env import BatchedEnv, Transition


class Countdown(BatchedEnv):
    """Episodes of 2 (return 1, a success) or 11 steps (return 0), drawn half and half."""

    metric_names = ("success", "cue_seen")
    exact_resume = True

    def __init__(self, num_envs: int, device: str = "cpu", next_step: bool = False) -> None:
        self.num_envs, self.device = num_envs, torch.device(device)
        self.observation_space = spaces.Dict({"obs": spaces.Box(-math.inf, math.inf, (1,))})
        self.action_space = spaces.Discrete(2)
        self.next_step = next_step
        self.generator = torch.Generator()

    def reset(self, seed=None):
        if seed is not None:
            self.generator.manual_seed(seed)
        self.length = self._draw()
        self.t = torch.zeros(self.num_envs, dtype=torch.int64)
        self.over = torch.zeros(self.num_envs, dtype=torch.bool)
        return self._obs()

    def step(self, action):
        valid = ~self.over
        self.t = torch.where(valid, self.t + 1, 0)
        ended = valid & (self.t == self.length)
        success = (self.length == 2).float()
        reward = torch.where(ended, success, 0.0)
        cue = (self.t >= 3).float()
        final = self._obs()
        if self.next_step:
            # The reset row carries a reward that is no part of any episode.
            reward = torch.where(valid, reward, 100.0)
            self.length = torch.where(valid, self.length, self._draw())
            self.over = ended
        else:
            self.length = torch.where(ended, self._draw(), self.length)
            self.t = torch.where(ended, 0, self.t)
        return Transition(
            obs=self._obs(),
            reward=reward,
            terminated=ended,
            truncated=torch.zeros_like(ended),
            final_obs=final,
            metrics={"success": success, "cue_seen": cue},
            valid=valid if self.next_step else None,
        )

    def render(self, index=0):
        frame = torch.full((13, 17, 3), 255, dtype=torch.uint8)
        frame[:, : int(self.t[index]) + 1] = 40
        return frame.numpy()

    def state_dict(self):
        return {"length": self.length, "t": self.t, "generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.length, self.t = state["length"], state["t"]
        self.generator.set_state(state["generator"])
        return self._obs()

    def _obs(self):
        return {"obs": self.t.float().unsqueeze(1)}

    def _draw(self):
        short = torch.rand(self.num_envs, generator=self.generator) < 0.5
        return torch.where(short, 2, 11)


class WalkAgent:
    """Learns nothing: its weight takes a random walk, of which its metrics tell."""

    unit = "env_steps"
    policy = torch.nn.Identity()

    def __init__(self, seed: int = 0, poison_at: int | None = None) -> None:
        self.env_steps = 0
        self.weight = torch.zeros(3, dtype=torch.float64)
        self.generator = torch.Generator().manual_seed(seed)
        self.poison_at = poison_at
        self.starts: list[torch.Tensor] = []
        self.in_iteration: Any = lambda: None

    @property
    def experience(self):
        return self.env_steps

    def learn(self, total_steps, on_iteration):
        while self.env_steps < total_steps:
            self.weight += torch.randn(3, generator=self.generator, dtype=torch.float64)
            self.env_steps += 7
            self.in_iteration()
            if self.poison_at is not None and self.env_steps >= self.poison_at:
                raise FloatingPointError("the policy loss is NaN")
            noise = float(torch.rand(()))  # the global generator, as dropout would
            success = math.nan if self.env_steps % 3 == 0 else float(self.weight[0].sigmoid())
            on_iteration({"episode/success": success, "train/noise": noise})

    def begin(self, seed=0, *, greedy=False, ablate=None):
        if ablate not in (None, "state"):
            raise ValueError(f"this memory has no {ablate}")
        self.acted = 0
        self.starts = []

    def act(self, given, start=None):
        obs = given
        if isinstance(given, Transition):
            obs, start = given.obs, given.ended
            if given.valid is not None:
                start = start | ~given.valid
        elif start is None:
            start = torch.ones(len(obs["obs"]), dtype=torch.bool)
        self.starts.append(start)
        self.acted += 1
        return torch.zeros(len(obs["obs"]), dtype=torch.int64)

    def memory(self):
        weights = torch.zeros(2, 5)
        weights[:, self.acted % 5] = 1.0
        return {
            "write_weights": weights[0].expand(1, 5),
            "read_weights": weights.expand(1, 2, 5),
            "hidden": torch.full((1, 67), -0.5),
            "gate": torch.tensor([0.25]),
        }

    def memory_state(self):
        return None

    def state_dict(self):
        return {
            "env_steps": self.env_steps,
            "weight": self.weight,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state):
        self.env_steps = state["env_steps"]
        self.weight = state["weight"]
        self.generator.set_state(state["generator"])


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
