"""Hindsight experience replay: relabel episodes with achieved goals (Andrychowicz et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from memrl.replay.episode_index import Spans
from memrl.replay.sequences import SampledSequences
from memrl.replay.steps import OBS

Strategy: TypeAlias = Literal["future", "final", "episode"]
GoalReward: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

ACHIEVED: Final = "achieved_after"  # entry of a step: the goal achieved after it
DESIRED: Final = f"{OBS}desired_goal"  # entry of a step: the desired goal


class Relabelled(NamedTuple):
    """Sequences in which some episodes have another goal."""

    steps: dict[str, Tensor]  # each [L, M, ...]
    replaced: Tensor  # bool [L, M]  steps of another goal; so is the core's state after them


def relabel(
    drawn: SampledSequences,
    spans: Spans,
    achieved: Tensor,
    goal_reward: GoalReward,
    generator: torch.Generator,
    *,
    strategy: Strategy,
    share: float,
    burn_in: int,
) -> Relabelled:
    """Relabel a ``share`` of the episodes in sampled sequences with a goal that they achieved.

    An episode gets one goal: the one achieved at its end (final), at a random step (episode), or at
    a random step after burn-in in the sequence (future). Reward and termination are recomputed for
    that goal. Steps after the first success become invalid, and success at the old goal no longer
    terminates. Episodes that have not ended, or whose beginning was overwritten, are not changed.

    The stored state of the core depends on the old goal. So an episode that began before the
    sequence gets a ``start`` at its first step in it.

    Args:
        drawn: with entries ``start``, ``reward``, ``terminated``, ``valid``, ``ACHIEVED`` and
            ``DESIRED``.
        spans: the episodes of its steps.
        achieved: the entry ``ACHIEVED`` of all stored steps: [C, B, ...].
        goal_reward: from achieved and desired goals [L, M, ...] to reward and terminated [L, M].
        generator: for all random numbers.
        strategy: which achieved goals are used.
        share: probability that a whole episode is relabelled, 0 … 1.
        burn_in: steps at the beginning of a sequence without a loss.
    """
    steps = drawn.steps
    first = _first_steps(steps["start"])  # [L, M]  in the sequence, of each step's episode
    draw, where = _random_pair(first, generator)
    chosen = spans.whole & steps["valid"] & (draw < share)

    low = {
        "future": torch.minimum(_first_with_loss(drawn.time, first, burn_in), spans.end),
        "episode": spans.begin,
        "final": spans.end,
    }[strategy]
    when = low + (where * (spans.end - low + 1)).long()
    goal = achieved[when % len(achieved), drawn.env]  # [L, M, ...]

    wide = chosen.view(*chosen.shape, *[1] * (goal.dim() - 2))
    desired = torch.where(wide, goal, steps[DESIRED])
    reward, reached = goal_reward(steps[ACHIEVED], desired)
    reached = reached & chosen
    start = steps["start"].clone()
    start[0] |= chosen[0]
    changed = {
        DESIRED: desired,
        "reward": torch.where(chosen, reward.to(steps["reward"]), steps["reward"]),
        "terminated": torch.where(chosen, reached, steps["terminated"]),
        "start": start,
        "valid": steps["valid"] & ~_after_first(reached, first),
    }
    return Relabelled({**steps, **changed}, chosen)


def _first_steps(start: Tensor) -> Tensor:
    """For each step of [L, M], the first step in the sequence of the same episode."""
    step = torch.arange(len(start), device=start.device).unsqueeze(1)
    return torch.where(start, step, 0).cummax(0).values


def _random_pair(first: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two random numbers in [0, 1) for each episode, equal at all of its steps: each [L, M]."""
    shape = (2, *first.shape)
    drawn = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
    one, two = drawn.to(first.device).gather(1, first.expand(shape))
    return one, two


def _first_with_loss(time: Tensor, first: Tensor, burn_in: int) -> Tensor:
    """The time of the first step with a loss in each step's episode: [L, M]."""
    return time.gather(0, first.clamp(min=burn_in))


def _after_first(reached: Tensor, first: Tensor) -> Tensor:
    """Steps after one that reached the goal in their episode: [L, M]."""
    before = reached.long().cumsum(0) - reached.long()
    return before > before.gather(0, first)
