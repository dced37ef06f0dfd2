"""Trials: several episodes of one task, which an agent plays with one memory."""

from __future__ import annotations

from typing import Any, Final, final

import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.rows import where_rows
from memrl.envs.wrappers import refuse_key
from memrl.rollout.env import BatchedEnv, Carried, Obs, Transition

PREV_DONE: Final = "prev_done"
RETURNS: Final = ("first_return", "last_return")


@final
class Trials(BatchedEnv):
    """Plays ``episodes`` episodes of one task as one trial (RL², Duan et al. 2016, section 2.2).

    To an agent a trial is an episode: memory, bootstrapping and returns go on from an inner
    episode to the next. A trial terminates with its last episode, whatever ended that one: the
    number of episodes is part of the task, as in the paper. Nothing truncates it.

    The observation gets ``prev_done`` (int64 [B], ``Discrete(2)``): 1 in the first observation of
    a later episode of a trial, else 0. Together with `Previous`, which belongs outside of this
    wrapper, an agent sees what the paper's agent sees: the last action, reward and end.

    Metrics are the environment's, of the last episode of a trial, and ``first_return`` and
    ``last_return``, the returns of its first and last episode. Agents that learn within a trial
    have a larger last one.

    Args:
        env: environments that can repeat a task (``keep_task``).
        episodes: of a trial, at least 1. With 1 a trial is an episode.

    Raises:
        ValueError: the environments cannot repeat a task, have goals, or have an entry
            ``prev_done``; ``episodes`` is less than 1. In ``step``: they reset one step after an
            episode's end.
    """

    def __init__(self, env: BatchedEnv, *, episodes: int) -> None:
        if episodes < 1:
            raise ValueError(f"episodes is {episodes}, allowed: at least 1 in a trial")
        refuse_goals(env.has_goals)
        refuse_key(PREV_DONE, env.observation_space)
        env.keep_task(None)
        self.env, self.episodes = env, episodes
        self.num_envs, self.device = env.num_envs, env.device
        self.action_space = env.action_space
        self.observation_space = spaces.Dict(
            {**env.observation_space.spaces, PREV_DONE: spaces.Discrete(2)}
        )
        self.metric_names = (*env.metric_names, *RETURNS)
        self.exact_resume = env.exact_resume
        self._begin()

    def _begin(self) -> None:
        zeros = torch.zeros(self.num_envs, device=self.device)
        self._set(zeros.long(), zeros.long(), zeros, zeros)

    def _set(self, episode: Tensor, prev_done: Tensor, so_far: Tensor, first: Tensor) -> None:
        self._episode = episode  # int64 [B]: of the present trial
        self._prev_done = prev_done  # int64 [B]
        self._return = so_far  # float32 [B]: of the present episode
        self._first_return = first  # float32 [B]: of the first episode, so far

    def reset(self, seed: int | None = None) -> Obs:
        self._begin()
        return self._with_flag(self.env.reset(seed))

    def step(self, action: Tensor) -> Transition:
        more = self._episode < self.episodes - 1  # rows whose trial outlasts the present episode
        self.env.keep_task(more)
        inner = self.env.step(action)
        if inner.valid is not None:
            raise ValueError(
                f"a trial of {type(self.env).__name__}, which resets one step after an episode's "
                "end (Transition.valid), allowed: environments that reset in the same step"
            )
        goes_on, over = inner.ended & more, inner.ended & ~more

        returns = self._return + inner.reward
        first_return = torch.where(self._episode == 0, returns, self._first_return)
        self._return = returns.masked_fill(inner.ended, 0)
        self._first_return = first_return.clone()
        self._episode = (self._episode + inner.ended).masked_fill(over, 0)
        self._prev_done = goes_on.long()

        obs = self._with_flag(inner.obs)
        last = {**inner.final_obs, PREV_DONE: torch.zeros_like(self._prev_done)}
        return Transition(
            obs=obs,
            reward=inner.reward,
            terminated=over,
            truncated=torch.zeros_like(over),
            final_obs={key: where_rows(over, last[key], obs[key]) for key in obs},
            metrics={**inner.metrics, **dict(zip(RETURNS, (first_return, returns), strict=True))},
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "env": self.env.state_dict(),
            "episode": self._episode.clone(),
            "prev_done": self._prev_done.clone(),
            "return": self._return.clone(),
            "first_return": self._first_return.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        """Continue from ``state_dict``; returns the current observations."""
        obs = self.env.load_state_dict(state["env"])
        self._begin()
        if self.exact_resume:  # otherwise new trials start
            names = ("episode", "prev_done", "return", "first_return")
            self._set(*(state[name].to(self.device, copy=True) for name in names))
        return self._with_flag(obs)

    def carried(self) -> Carried | None:
        inner = self.env.carried()
        if inner is None:
            return None
        return inner._replace(
            state=(
                inner.state,
                self._episode,
                self._prev_done,
                self._return,
                self._first_return,
            )
        )

    def carry(self, state: Any) -> None:
        inner, *own = state
        self.env.carry(inner)
        self._set(*own)

    def render(self, index: int = 0) -> Any:
        return self.env.render(index)

    def close(self) -> None:
        self.env.close()

    def _with_flag(self, obs: Obs) -> Obs:
        return {**obs, PREV_DONE: self._prev_done.clone()}


def refuse_goals(has_goals: bool) -> None:
    """Raise ValueError for environments with goals, which hindsight would relabel in a trial."""
    if has_goals:
        raise ValueError("a trial needs a task without goals (desired_goal in the observation)")
