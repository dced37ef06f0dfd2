"""The width at which a memory's policy has as many parameters as another's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from memrl.benchmark.plan import Plan
from memrl.benchmark.scores import Row
from memrl.config.composition import compose
from memrl.config.models import Config
from memrl.errors import RunError
from memrl.pipeline.build import make_agent, make_env
from memrl.rollout.env import BatchedEnv

STEP: Final = 4  # widths are its multiples, so that heads divide them
WIDEST: Final = 4096
TOLERANCE: Final = 0.1


def matched_width(words: Sequence[str], parameters: int) -> int | None:
    """``memory.hidden_dim`` that gives a policy ``parameters``, within a tenth; None: none does.

    Args:
        words: of ``memrl train``, the memory among them.
        parameters: of the whole policy.

    Raises:
        ValueError: ``words`` are refused.
    """
    config = compose(words)
    env = make_env(config)
    try:
        return solve(lambda width: count_parameters(config, width, env), parameters)
    finally:
        env.close()


def refuse_unmatched(plan: Plan, rows: Sequence[Row]) -> None:
    """Hold the sizes of matched policies against the plan, which may ask for others by now.

    Raises:
        RunError: a policy is a tenth off, and there is a width that matches.
    """
    for row in rows:
        asked = plan.parameters
        if row.size != "matched" or asked is None or _close(row.parameters, asked):
            continue
        words = [*plan.words, *plan.tasks[row.task].words, f"memory={row.memory}"]
        if matched_width(words, asked) is not None:
            raise RunError(
                f"runs of {row.memory} on {row.task} have {row.parameters:,} parameters, and "
                f"{plan.name} asks for {asked:,}: choose another root= or table="
            )


def count_parameters(config: Config, width: int, env: BatchedEnv) -> int:
    """Of the policy that a config makes at a width, for ``env``."""
    memory = {**config.memory, "hidden_dim": width}
    agent = make_agent(config.model_copy(update={"memory": memory}), env)
    return sum(weight.numel() for weight in agent.policy.parameters())


def solve(count: Callable[[int], int], parameters: int) -> int | None:
    """The multiple of ``STEP`` whose ``count``, which grows with it, is nearest to a number."""
    low, high = 1, WIDEST // STEP
    while low < high:
        middle = (low + high) // 2
        if count(middle * STEP) < parameters:
            low = middle + 1
        else:
            high = middle
    widths = [width * STEP for width in (low - 1, low) if width]
    best = min(widths, key=lambda width: abs(count(width) - parameters))
    return best if _close(count(best), parameters) else None


def _close(count: int, parameters: int) -> bool:
    return abs(count - parameters) <= TOLERANCE * parameters
