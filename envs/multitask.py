"""Several tasks in one batch of environments, for one agent that learns them all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.envs.equal_spaces import refuse_other_spaces
from memrl.envs.wrappers import refuse_key
from memrl.rollout.env import PER_TASK, BatchedEnv, Carried, Obs, Transition, of_task

TASK: Final = "task"


@final
class MultiTask(BatchedEnv):
    """Plays several tasks of equal spaces side by side, each in its own rows of the batch.

    A row keeps its task. With ``task_id`` the observation has the entry ``task`` (int64 [B],
    ``Discrete`` of the number of tasks), the number of the row's task; without it an agent must
    find out by what it sees which task it plays.

    Metrics are those of all tasks (NaN where a task has no such value), and for each task
    ``return/NAME`` and, where it has a success, ``success/NAME``: NaN in the rows of other tasks.

    Args:
        envs: one batch for each task, in the order of ``names``. There may be fewer than names:
            of a batch with fewer rows than tasks the last tasks have none.
        names: of all tasks, each another one.
        task_id: whether observations say which task it is.

    Raises:
        ValueError: observations or actions of two tasks differ, a task has goals, two tasks have
            one name, or the observation has an entry ``task`` already.
    """

    def __init__(
        self, envs: Sequence[BatchedEnv], *, names: Sequence[str], task_id: bool = False
    ) -> None:
        if len({*names}) < len(names) or not 1 <= len(envs) <= len(names):
            raise ValueError(f"{len(envs)} batches of tasks named {', '.join(names)}: one each")
        for env, name in zip(envs, names, strict=False):
            refuse_other_spaces(f"{name} beside {names[0]}", env, envs[0])
            if env.has_goals:
                raise ValueError(f"{name} has goals, which several tasks in one batch cannot have")
        first = envs[0]
        self.envs, self.names, self.task_id = tuple(envs), tuple(names), task_id
        self._sizes = [env.num_envs for env in envs]
        self.num_envs, self.device = sum(self._sizes), first.device
        self.action_space, self.observation_space = first.action_space, first.observation_space
        if task_id:
            refuse_key(TASK, first.observation_space)
            number = spaces.Discrete(len(names))
            self.observation_space = spaces.Dict({**first.observation_space.spaces, TASK: number})
        self._task = torch.arange(len(envs), device=self.device).repeat_interleave(
            torch.tensor(self._sizes, device=self.device)
        )  # int64 [B]
        inner = dict.fromkeys(name for env in envs for name in env.metric_names)
        known = [name for name in PER_TASK if name == "return" or name in inner]
        per_task = (of_task(metric, name) for name in names for metric in known)
        self.metric_names = (*inner, *per_task)
        self.exact_resume = all(env.exact_resume for env in envs)
        self._return = torch.zeros(self.num_envs, device=self.device)  # of the present episodes

    def reset(self, seed: int | None = None) -> Obs:
        self._return = torch.zeros_like(self._return)
        seeds: Sequence[int | None] = [None] * len(self.envs)
        if seed is not None:
            seeds = np.random.SeedSequence(seed).generate_state(len(self.names)).tolist()
        return self._joined([env.reset(own) for env, own in zip(self.envs, seeds, strict=False)])

    def step(self, action: Tensor) -> Transition:
        parts = [
            env.step(own)
            for env, own in zip(self.envs, torch.split(action, self._sizes), strict=True)
        ]
        reward = torch.cat([part.reward for part in parts])
        ended = torch.cat([part.ended for part in parts])
        valid = None
        if any(part.valid is not None for part in parts):
            valid = torch.cat(
                [torch.ones_like(p.ended) if p.valid is None else p.valid for p in parts]
            )
        earned = reward if valid is None else torch.where(valid, reward, 0.0)
        returns = self._return + earned
        self._return = returns.masked_fill(ended, 0)
        return Transition(
            obs=self._joined([part.obs for part in parts]),
            reward=reward,
            terminated=torch.cat([part.terminated for part in parts]),
            truncated=torch.cat([part.truncated for part in parts]),
            final_obs=self._joined([part.final_obs for part in parts]),
            metrics=self._metrics([part.metrics for part in parts], returns),
            valid=valid,
        )

    def state_dict(self) -> dict[str, Any]:
        parts = {str(i): env.state_dict() for i, env in enumerate(self.envs)}
        return {"tasks": parts, "return": self._return.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        """Continue from ``state_dict``; new episodes begin if one task cannot be continued."""
        parts = [env.load_state_dict(state["tasks"][str(i)]) for i, env in enumerate(self.envs)]
        if not self.exact_resume:
            return self.reset()
        self._return = state["return"].to(self.device, copy=True)
        return self._joined(parts)

    def carried(self) -> Carried | None:
        found = [env.carried() for env in self.envs]
        parts = [part for part in found if part is not None]
        if len(parts) < len(found):
            return None
        return Carried(
            state=(*(part.state for part in parts), self._return),
            generators=tuple(generator for part in parts for generator in part.generators),
        )

    def carry(self, state: Any) -> None:
        *parts, self._return = state
        for env, part in zip(self.envs, parts, strict=True):
            env.carry(part)

    def render(self, index: int = 0) -> Any:
        env = int(self._task[index])
        return self.envs[env].render(index - sum(self._sizes[:env]))

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def _joined(self, parts: Sequence[Obs]) -> Obs:
        obs = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        return {**obs, TASK: self._task.clone()} if self.task_id else obs

    def _metrics(self, parts: Sequence[Mapping[str, Tensor]], returns: Tensor) -> dict[str, Tensor]:
        unknown = torch.split(torch.full_like(returns, math.nan), self._sizes)
        joined = {
            name: torch.cat([p.get(name, nan) for p, nan in zip(parts, unknown, strict=True)])
            for name in dict.fromkeys(name for part in parts for name in part)
        }
        values = {"return": returns, **joined}
        for number, name in enumerate(self.names):
            mine = self._task == number
            for metric in PER_TASK:
                if (key := of_task(metric, name)) in self.metric_names:
                    joined[key] = torch.where(mine, values[metric], math.nan)
        return joined
