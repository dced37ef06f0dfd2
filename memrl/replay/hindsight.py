"""Hindsight: what was reached is taken for what was wanted (Andrychowicz et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from memrl.replay.episode_index import Spans
from memrl.replay.sequences import Drawn
from memrl.replay.steps import OBS

Strategy: TypeAlias = Literal["future", "final", "episode"]
GoalReward: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

ACHIEVED: Final = "achieved_after"  # the entry of a step: the goal that holds after it
DESIRED: Final = f"{OBS}desired_goal"  # the entry of a step: the goal that it was after


class Relabelled(NamedTuple):
    """Sequences whose episodes are partly after other goals."""

    steps: dict[str, Tensor]  # each [L, M, ...]
    fresh: Tensor  # bool [M]  the stored state belongs to a goal that was replaced


def relabel(
    drawn: Drawn,
    spans: Spans,
    achieved: Tensor,
    goal_reward: GoalReward,
    generator: torch.Generator,
    *,
    strategy: Strategy,
    share: float,
    burn_in: int,
) -> Relabelled:
    """Give a ``share`` of the episodes in drawn sequences a goal that was reached in them.

    One goal an episode: what was achieved at its end (final), at any of its steps (episode), or at
    any from the first step in the sequence that is learned from (future). Reward and termination
    are the environment's under that goal; what follows the first success is no longer valid, and
    the old goal's success ends nothing. Episodes that have not ended, or whose beginning was
    overwritten, stay as they are.

    A core's state has seen the old goal. An episode that began before the sequence therefore begins
    anew in it, with ``start`` set at its first step.

    Args:
        drawn: with entries ``start``, ``reward``, ``terminated``, ``valid``, ``ACHIEVED`` and
            ``DESIRED``.
        spans: the episodes of its steps.
        achieved: the entry ``ACHIEVED`` of all that is held: [C, B, ...].
        goal_reward: of goals achieved and desired [L, M, ...]: reward [L, M], terminated [L, M].
        generator: of every draw made here.
        strategy: where goals come from.
        share: of the whole episodes that are relabelled, 0 … 1.
        burn_in: steps of a sequence that are not learned from.
    """
    steps = drawn.steps
    first = _first_steps(steps["start"])  # [L, M]  in the sequence, of each step's episode
    lucky, where = _draws(first, generator)
    chosen = spans.whole & steps["valid"] & (lucky < share)

    low = {
        "future": torch.minimum(_learned_from(drawn.time, first, burn_in), spans.end),
        "episode": spans.begin,
        "final": spans.end,
    }[strategy]
    when = low + (where * (spans.end - low + 1)).long()
    goal = achieved[when % len(achieved), drawn.copy]  # [L, M, ...]

    wide = chosen.view(*chosen.shape, *[1] * (goal.dim() - 2))
    desired = torch.where(wide, goal, steps[DESIRED])
    reward, reached = goal_reward(steps[ACHIEVED], desired)
    reached = reached & chosen
    begins_anew = chosen[0] & ~steps["start"][0]
    start = steps["start"].clone()
    start[0] |= begins_anew
    changed = {
        DESIRED: desired,
        "reward": torch.where(chosen, reward.to(steps["reward"]), steps["reward"]),
        "terminated": torch.where(chosen, reached, steps["terminated"]),
        "start": start,
        "valid": steps["valid"] & ~_after_first(reached, first),
    }
    return Relabelled({**steps, **changed}, begins_anew)


def _first_steps(start: Tensor) -> Tensor:
    """For each step of [L, M], the first step in the sequence of the same episode."""
    step = torch.arange(len(start), device=start.device).unsqueeze(1)
    return torch.where(start, step, 0).cummax(0).values


def _draws(first: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two numbers in [0, 1) an episode, the same at all of its steps: each [L, M]."""
    shape = (2, *first.shape)
    drawn = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
    one, two = drawn.to(first.device).gather(1, first.expand(shape))
    return one, two


def _learned_from(time: Tensor, first: Tensor, burn_in: int) -> Tensor:
    """When the first step was that is learned from, of each step's episode: [L, M]."""
    return time.gather(0, first.clamp(min=burn_in))


def _after_first(reached: Tensor, first: Tensor) -> Tensor:
    """Steps that follow, in their episode, a step that reached the goal: [L, M]."""
    before = reached.long().cumsum(0) - reached.long()
    return before > before.gather(0, first)
