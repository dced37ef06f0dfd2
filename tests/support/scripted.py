"""An environment of given rewards and ends, for the tests of this folder."""

from __future__ import annotations

import torch
from gymnasium import spaces

from memrl.rollout.env import BatchedEnv, Transition


class Script(BatchedEnv):
    """One-hot time as observation, rewards and ends as they are given: [T, B] each."""

    exact_resume = True

    def __init__(self, reward, terminated, truncated, valid=None):
        self.reward, self.valid = torch.tensor(reward), valid
        self.terminated, self.truncated = torch.tensor(terminated), torch.tensor(truncated)
        self.num_envs, self.device = self.reward.shape[1], torch.device("cpu")
        length = len(self.reward) + 1
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(2 * length)})
        self.action_space, self.t = spaces.Discrete(2), 0

    def reset(self, seed=None):
        self.t = 0
        return self._obs()

    def _obs(self, final=False):
        t = torch.full((self.num_envs,), self.t)
        return {"obs": t + (len(self.reward) + 1 if final else 0)}

    def step(self, action):
        t, self.t = self.t, self.t + 1
        valid = None if self.valid is None else torch.tensor(self.valid[t])
        return Transition(self._obs(), self.reward[t], self.terminated[t], self.truncated[t],
                          self._obs(final=True), {}, valid)  # fmt: skip

    def state_dict(self):
        return {"t": self.t}

    def load_state_dict(self, state):
        self.t = state["t"]
        return self._obs()


class Masked(Script):
    """The same, where action 1 alone is allowed; ``taken`` lists all actions."""

    def __init__(self, *script):
        super().__init__(*script)
        mask = spaces.MultiBinary(2)
        self.observation_space = spaces.Dict({**self.observation_space, "action_mask": mask})
        self.taken = []

    def _obs(self, final=False):
        mask = torch.tensor([[False, True]]).expand(self.num_envs, -1)
        return {**super()._obs(final), "action_mask": mask}

    def step(self, action):
        self.taken += action.tolist()
        return super().step(action)
