"""A run on ``probe/Bandit-v0`` beside the Gittins index, Thompson sampling and UCB1."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, Final, TypeAlias

import numpy as np
import torch

from memrl.bench.gittins import Floats, Gittins, Ints
from memrl.config.models import Count
from memrl.envs.probes import Bandit
from memrl.envs.trials import Trials
from memrl.envs.wrappers import Previous
from memrl.evaluation.statistics import mean
from memrl.pipeline.trained import Run, open_run
from memrl.rollout.env import BatchedEnv

MOST_PULLS: Final = 200  # with a table of Gittins indices
# The arms [N] to pull, from the wins and pulls of every arm in the present contexts [N, A], and how
# many pulls are left in such a context, this one included.
Choice: TypeAlias = Callable[[Ints, Ints, int, np.random.Generator], Ints]


def thompson(wins: Ints, pulls: Ints, left: int, rng: np.random.Generator) -> Ints:
    """Thompson sampling (1933): the best arm of a draw from the posterior of a uniform prior."""
    drawn: Floats = rng.beta(1 + wins, 1 + pulls - wins)
    best: Ints = drawn.argmax(1)
    return best


def ucb1(wins: Ints, pulls: Ints, left: int, rng: np.random.Generator) -> Ints:
    """UCB1 (Auer et al. 2002, figure 1): every arm once, then the largest upper bound."""
    n = pulls.sum(1, keepdims=True).clip(min=1)
    often = pulls.clip(min=1)
    bound: Floats = np.where(pulls == 0, np.inf, wins / often + np.sqrt(2 * np.log(n) / often))
    best: Ints = bound.argmax(1)
    return best


def at_random(wins: Ints, pulls: Ints, left: int, rng: np.random.Generator) -> Ints:
    """Any arm."""
    return rng.integers(pulls.shape[1], size=len(pulls))


def players(horizon: int) -> dict[str, Choice]:
    """Players of trials of ``horizon`` pulls, by name; Gittins where its table is not too large."""
    index = {"Gittins": Gittins(horizon)} if horizon <= MOST_PULLS else {}
    return {**index, "Thompson": thompson, "UCB1": ucb1, "random": at_random}


def bench_bandit(run: str, trials: Count = 2000, seed: int = 1000) -> dict[str, Any]:
    """The regret of a run's agent, and of players that are told nothing but the number of arms.

    All of them play the same tasks in the same contexts; rewards are drawn for each. The regret of
    a trial is the sum over its pulls of the best chance minus the chance of the arm.

    Args:
        run: directory of a run on ``probe/Bandit-v0`` with ``env.trial``.
        trials: that each plays.
        seed: of the tasks, the agent and the players.

    Returns:
        A row per player, the run's memory first: ``regret``, the mean of a trial, with ``low`` and
        ``high`` (95 % interval), ``earned``, the mean of the chances that were pulled, summed over
        a trial, and ``last_best``, the share of trials whose last pull was the best arm.

    Raises:
        ValueError: the run is on another task, or has no trials.
    """
    opened = open_run(run)
    task = opened.config.env
    if task.id != "probe/Bandit-v0" or task.trial is None:
        raise ValueError(
            f"{run} is a run on {task.id} with env.trial={task.trial}, allowed: probe/Bandit-v0 "
            "with env.trial=K"
        )
    chance, contexts, arms = play(opened, trials, seed)
    rows = {opened.config.learner_name: _row(chance, contexts, arms)}
    for name, choose in players(len(arms)).items():
        rng = np.random.default_rng(seed)
        rows[name] = _row(chance, contexts, arms_of(choose, chance, contexts, rng))
    return rows


@torch.no_grad()
def play(run: Run, trials: int, seed: int) -> tuple[Floats, Ints, Ints]:
    """One trial of each of ``trials`` environments, by the agent of a run.

    Returns:
        The chances [N, C, A], and the contexts and arms of all pulls, [K, N] each.
    """
    contexts, arms = [], []
    with closing(run.env(num=trials)) as env:
        run.agent.begin(seed)
        step: Any = env.reset(seed)
        obs, chance = step, bandit_in(env).chances()
        for _ in range(run.config.env.trial or 1):
            contexts.append(obs["obs"].cpu().numpy())
            action = run.agent.act(step)
            arms.append(action.cpu().numpy())
            step = env.step(action)
            obs = step.obs
    return chance.double().cpu().numpy(), np.stack(contexts), np.stack(arms)


def bandit_in(env: BatchedEnv) -> Bandit:
    """The bandits within their wrappers."""
    while isinstance(env, Previous | Trials):
        env = env.env
    assert isinstance(env, Bandit)
    return env


def arms_of(choose: Choice, chance: Floats, contexts: Ints, rng: np.random.Generator) -> Ints:
    """The arms [K, N] of a player on tasks [N, C, A] in contexts [K, N].

    It expects its context to come back in one of C of the pulls after this one.
    """
    wins, pulls = (np.zeros(chance.shape, dtype=np.int64) for _ in range(2))
    every, chosen, C = np.arange(len(chance)), [], chance.shape[1]
    for t, context in enumerate(contexts):
        left = 1 + (len(contexts) - t - 1) // C
        arm = choose(wins[every, context], pulls[every, context], left, rng)
        at = every, context, arm
        wins[at] += rng.random(len(chance)) < chance[at]
        pulls[at] += 1
        chosen.append(arm)
    return np.stack(chosen)


def _row(chance: Floats, contexts: Ints, arms: Ints) -> dict[str, float]:
    every = np.arange(len(chance))
    pulled, best = chance[every, contexts, arms], chance[every, contexts].max(2)  # [K, N]
    regret = mean((best - pulled).sum(0))
    return {
        "regret": regret.mean,
        "low": regret.low,
        "high": regret.high,
        "earned": float(pulled.sum(0).mean()),
        "last_best": float((pulled[-1] == best[-1]).mean()),
    }
