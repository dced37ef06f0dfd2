"""Evaluation: how well an agent does over whole episodes, without favouring short ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from memrl.evaluation.statistics import Estimate, are_shares, mean, wilson
from memrl.rollout.env import BatchedEnv, Obs, Transition, of_task
from memrl.run.agent import Agent


class TaskScore(NamedTuple):
    """How an agent did in one of several tasks; episodes that were cut off are left out."""

    success: Estimate | None  # None where the task has no share of successes
    return_: Estimate

    def as_dict(self) -> dict[str, Any]:
        """Means with their intervals, as plain values."""
        return {
            "success": None if self.success is None else self.success._asdict(),
            "return": self.return_._asdict(),
        }


class Evaluation(NamedTuple):
    """What an agent did in a number of episodes."""

    episodes: int  # that were played, which may be fewer than were asked for if some were cut off
    cut_off: int  # of these; they are counted as far as they went, without metrics
    success: Estimate | None  # rate with Wilson's interval; None where the task has no such share
    success_number: float | None  # mean of what a task calls its success but lies outside of 0 … 1
    return_: Estimate  # undiscounted sum of rewards
    length: Estimate  # steps
    cue_seen: Estimate | None  # rate of episodes in which the cue was seen
    per_episode: dict[str, NDArray[np.float64]]  # return, length and each metric, [episodes]
    first_return: Estimate | None = None  # of the first episode of a trial; only trials have one
    last_return: Estimate | None = None  # of its last episode
    tasks: Mapping[str, TaskScore] = MappingProxyType({})  # of several tasks, by their names

    def as_dict(self) -> dict[str, Any]:
        """Means, intervals, extreme returns and the number of episodes as plain values."""
        named = {"success": self.success, "return": self.return_, "length": self.length}
        estimates = {**named, "cue_seen": self.cue_seen}
        of_trials = {"first_return": self.first_return, "last_return": self.last_return}
        estimates |= {name: estimate for name, estimate in of_trials.items() if estimate}
        returns = self.per_episode["return"]
        return {
            "episodes": self.episodes,
            "cut_off": self.cut_off,
            **{name: e._asdict() if e is not None else None for name, e in estimates.items()},
            "success_number": self.success_number,
            "least_return": float(returns.min()),
            "greatest_return": float(returns.max()),
            **({"tasks": self.tasks_as_dict()} if self.tasks else {}),
        }

    def tasks_as_dict(self) -> dict[str, Any]:
        """The scores of several tasks as plain values."""
        return {name: score.as_dict() for name, score in self.tasks.items()}


@torch.no_grad()
def evaluate(
    agent: Agent,
    env: BatchedEnv,
    episodes: int,
    seed: int,
    *,
    greedy: bool = False,
    ablate: str | None = None,
    max_steps: int = 27_000,
    show_progress: bool = True,
) -> Evaluation:
    """Play ``episodes`` whole episodes.

    Each environment has its share of the episodes fixed before the first step, and plays on until
    all have met theirs. Taking the first ``episodes`` to finish would be shorter and wrong: short
    episodes would be counted more often than they happen, and in most tasks short means successful.
    An environment plays no further episode after one that was cut off, since nothing but its end
    resets it.

    Args:
        agent: its acting memory is used, its training state is untouched.
        env: any number of environments; they are reset.
        episodes: how many; environments beyond this number are ignored.
        seed: of the environment and of acting.
        greedy: take the likeliest action instead of a sampled one.
        ablate: the part of the memory to silence, as in ``Agent.begin``.
        max_steps: env steps after which an episode is cut off: a task need not have an end.
        show_progress: whether to show a bar, on a terminal.

    Raises:
        ValueError: ``episodes`` is not positive, or the memory has no such part to ablate.
    """
    if episodes < 1:
        raise ValueError(f"an evaluation plays 1 episode or more, not {episodes}")
    agent.begin(seed, greedy=greedy, ablate=ablate)
    step: Obs | Transition = env.reset(seed)
    tally = _Tally(env, episodes, max_steps)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not show_progress) as bar:
        task = bar.add_task("evaluating", total=episodes, visible=console.is_terminal)
        left = episodes
        while left:
            step = env.step(agent.act(step))
            left = int(tally.add(step))  # the one number a step that reaches the host
            bar.update(task, completed=episodes - left)
    return _conclude(tally.read(), int(tally.cut_off.sum()))


class _Tally:
    """Sums of the running episodes and results of the finished ones, on the device."""

    def __init__(self, env: BatchedEnv, episodes: int, max_steps: int) -> None:
        num, self._device, self._max_steps = env.num_envs, env.device, max_steps
        share = [episodes // num + (index < episodes % num) for index in range(num)]
        self._share = torch.tensor(share, device=env.device)  # [B]
        self._taken = torch.zeros_like(self._share)
        self.cut_off = torch.zeros_like(self._share, dtype=torch.bool)  # [B]
        self._running = torch.zeros(2, num, dtype=torch.float64, device=env.device)
        names = ("return", "length", *env.metric_names)
        self._results = {
            name: torch.full((num, max(share)), math.nan, dtype=torch.float64, device=env.device)
            for name in names
        }

    def add(self, step: Transition) -> Tensor:
        """Count a step; returns the number of episodes that are still to come."""
        valid = torch.ones_like(step.terminated) if step.valid is None else step.valid
        reward = torch.where(valid, step.reward, 0).double()
        self._running += torch.stack([reward, valid.double()])
        ended = step.ended & valid
        open_ = self._taken < self._share
        cut = open_ & valid & ~ended & (self._running[1] >= self._max_steps)
        counted = (open_ & ended) | cut
        unknown = {name: torch.where(cut, math.nan, x) for name, x in step.metrics.items()}
        values = {**unknown, "return": self._running[0], "length": self._running[1]}
        for name, results in self._results.items():
            self._put(results, values[name].double(), counted)
        self._taken += counted
        self.cut_off |= cut
        self._share = torch.where(cut, self._taken, self._share)
        self._running = torch.where(ended, 0.0, self._running)
        return (self._share - self._taken).sum()

    def read(self) -> dict[str, NDArray[np.float64]]:
        """Each [episodes], environment after environment."""
        slots = self._results["length"].shape[1]
        done = torch.arange(slots, device=self._device) < self._taken[:, None]
        return {name: results[done].cpu().numpy() for name, results in self._results.items()}

    def _put(self, results: Tensor, value: Tensor, counted: Tensor) -> None:
        slot = self._taken.clamp(max=results.shape[1] - 1).unsqueeze(1)  # [B, 1]
        old = results.gather(1, slot)
        results.scatter_(1, slot, torch.where(counted.unsqueeze(1), value.unsqueeze(1), old))


def _conclude(results: Mapping[str, NDArray[np.float64]], cut_off: int) -> Evaluation:
    return Evaluation(
        episodes=len(results["length"]),
        cut_off=cut_off,
        success=_rate(results.get("success")),
        success_number=_number(results.get("success")),
        return_=mean(results["return"]),
        length=mean(results["length"]),
        cue_seen=_rate(results.get("cue_seen")),
        per_episode=dict(results),
        first_return=_mean(results.get("first_return")),
        last_return=_mean(results.get("last_return")),
        tasks=_by_task(results),
    )


def _by_task(results: Mapping[str, NDArray[np.float64]]) -> dict[str, TaskScore]:
    """The scores of each task that has ended an episode, if there are several tasks."""
    prefix = of_task("return", "")
    names = [name.removeprefix(prefix) for name in results if name.startswith(prefix)]
    found = {
        name: (_rate(results.get(of_task("success", name))), _mean(results[prefix + name]))
        for name in names
    }
    return {name: TaskScore(rate, return_) for name, (rate, return_) in found.items() if return_}


def _mean(returns: NDArray[np.float64] | None) -> Estimate | None:
    return None if returns is None or np.isnan(returns).all() else mean(returns)


def _rate(outcomes: NDArray[np.float64] | None) -> Estimate | None:
    if outcomes is None or np.isnan(outcomes).all() or not are_shares(outcomes):
        return None
    return wilson(outcomes)


def _number(outcomes: NDArray[np.float64] | None) -> float | None:
    return None if outcomes is None or are_shares(outcomes) else float(np.nanmean(outcomes))
