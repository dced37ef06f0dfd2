"""One episode in each environment, with hands on the memory between two steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memrl.evaluation.acting import Acting
from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.run.agent import Remembering

# (t, state after observation t - 1, leaves [B, ...]) -> the state with which observation t is read.
Change: TypeAlias = Callable[[int, Any], Any]
# Called at every step t with the observations, the state after they were read, and the rows whose
# first episode still runs, bool [B].
Watch: TypeAlias = Callable[[int, Obs, Any, Tensor], None]

NEVER = -1


class Played(NamedTuple):
    """B episodes, the first of each environment. A step t counts from 0 in each of them."""

    success: NDArray[np.float64]  # [B]; 0 if cut off; NaN where the task has no success
    returns: NDArray[np.float64]  # [B]
    length: NDArray[np.int64]  # [B]  env steps
    ended: NDArray[np.bool_]  # [B]; False: cut off
    cue: NDArray[np.int64] | None  # [B]; None: the environment tells of no cue
    # [B]; the cue that the last action chose, or NEVER; None: the environment does not tell
    choice: NDArray[np.int64] | None
    first_seen: NDArray[np.int64]  # [B]; the first step that saw the cue, or NEVER
    last_seen: NDArray[np.int64]  # [B]; the last one

    @property
    def cut_off(self) -> int:
        """Episodes that were longer than the limit."""
        return int((~self.ended).sum())


@torch.no_grad()
def play(
    agent: Remembering,
    env: BatchedEnv,
    acting: Acting,
    *,
    change: Change | None = None,
    watch: Sequence[Watch] = (),
) -> Played:
    """Play the first episode of every environment.

    Plays with equal seeds have equal episodes, and equal actions as long as the memory holds the
    same: every row has its own draws.

    Args:
        agent: its acting memory is used, its training state is untouched.
        env: B environments; they are reset.
        acting: how, and for how long; an episode that is cut off has failed.
        change: replaces the state before each observation but the first.
        watch: they see what is observed, and what the memory holds then.
    """
    acting.begin(agent)
    obs = env.reset(acting.seed)
    given: Obs | Transition = obs
    kept = _Kept(env)
    for t in range(acting.max_steps):
        if change is not None and t > 0:
            agent.replace_memory(change(t, agent.memory_state()))
        kept.see(t)
        action = agent.act(given)
        for each in watch:
            each(t, obs, agent.memory_state(), kept.running)
        choice = env.choice(action)
        given = env.step(action)
        obs = given.obs
        if not kept.add(given, choice):
            break
    return kept.played()


class _Kept:
    """What is known of the first episodes so far, on the device."""

    def __init__(self, env: BatchedEnv) -> None:
        self._env, cue = env, env.cue()
        self.running = torch.ones(env.num_envs, dtype=torch.bool, device=env.device)
        self._returns = torch.zeros_like(self.running, dtype=torch.float64)
        has_success = "success" in env.metric_names
        self._success = torch.full_like(self._returns, 0.0 if has_success else math.nan)
        self._length = torch.zeros_like(self.running, dtype=torch.int64)
        never = torch.full_like(self._length, NEVER)
        self._first, self._last = never, never
        self._choice: Tensor | None = None
        self._cue = None if cue is None else cue.identity

    def see(self, t: int) -> None:
        """Note whether the observations of step t show the cue."""
        cue = self._env.cue()
        if cue is not None:
            seen = self.running & cue.visible
            self._first = torch.where(seen & (self._first == NEVER), t, self._first)
            self._last = torch.where(seen, t, self._last)

    def add(self, step: Transition, choice: Tensor | None) -> bool:
        """Count a step; returns whether an episode still runs."""
        self._returns += torch.where(self.running, step.reward.double(), 0.0)
        self._length += self.running
        ends = self.running & step.ended
        if "success" in step.metrics:
            success = step.metrics["success"].double()
            self._success = torch.where(ends, success, self._success)
        if choice is not None:
            before = self._first.new_full((), NEVER) if self._choice is None else self._choice
            self._choice = torch.where(ends, choice, before)
        self.running = self.running & ~ends
        return bool(self.running.any())

    def played(self) -> Played:
        return Played(
            success=self._success.cpu().numpy(),
            returns=self._returns.cpu().numpy(),
            length=self._length.cpu().numpy(),
            ended=(~self.running).cpu().numpy(),
            cue=None if self._cue is None else self._cue.cpu().numpy(),
            choice=None if self._choice is None else self._choice.cpu().numpy(),
            first_seen=self._first.cpu().numpy(),
            last_seen=self._last.cpu().numpy(),
        )
