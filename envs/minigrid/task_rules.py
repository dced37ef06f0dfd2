"""The rules that MiniGrid's tasks add to the base step: success, termination and penalty.

Task rules read a few numbers about a level when it is generated (its facts: a target's code, a
door's cell) and compute the result of every step from them. The facts of a batch are one tensor,
so that a reset is a gather. The results equal the package's, quirks included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from memrl.envs.minigrid.cells import (
    BLUE,
    DOOR,
    EMPTY,
    OPEN,
    RED,
    pack,
)
from memrl.envs.minigrid.engine import (
    DONE,
    DROP,
    NUM_ACTIONS,
    PICKUP,
    TOGGLE,
    Events,
    GridEngine,
    GridState,
)

if TYPE_CHECKING:
    from minigrid.core.world_object import WorldObj


class StepInfo(NamedTuple):
    """A finished step, before any reset."""

    facts: Tensor  # int64 [B, K]: of the task rules
    action: Tensor  # int64 [B]
    state: GridState  # after the step
    events: Events
    height: int  # of the grids; the cell of (x, y) is x · height + y


class StepResult(NamedTuple):
    """The result of a step."""

    success: Tensor  # bool [B]: the reward is 1 - 0.9 · t / max_steps
    terminated: Tensor  # bool [B]
    penalty: Tensor | None = None  # bool [B]: subtracts 1 from the reward; None: never


class TaskRules(NamedTuple):
    """The rules of a group of tasks.

    ``read_facts`` computes the facts of a level from the package's environment after its reset.
    ``result`` computes the result of a step. ``move_objects``, if any, moves objects before the
    agent moves: it maps (facts, state, random numbers of 63 bits [B, K], engine) to new facts and
    may modify the cells of the state.
    """

    read_facts: Callable[[Any], list[int]]
    result: Callable[[StepInfo], StepResult]
    move_objects: Callable[[Tensor, GridState, Tensor, GridEngine], Tensor] | None = None
    num_actions: int = NUM_ACTIONS


def place(env: Any, position: Any) -> int:
    """The cell index of position (x, y) in the package's environment."""
    return int(position[0]) * int(env.height) + int(position[1])


def _result_base(step: StepInfo) -> StepResult:
    return StepResult(step.events.goal, step.events.goal | step.events.lava)


def _result_picked_up(step: StepInfo) -> StepResult:
    """Facts: the target's code, which only one object of the level has."""
    taken = (step.action == PICKUP) & (step.state.carried == step.facts[:, 0])
    return StepResult(taken, taken)


def _result_done_near(step: StepInfo) -> StepResult:
    """Facts: the target's cell at the start of the episode.

    The action done next to that cell succeeds, even if the target has moved. Any toggle fails.
    """
    done = step.action == DONE
    dx, dy = _distance(step.state.cell, step.facts[:, 0], step.height)
    return StepResult(done & (dx + dy == 1), done | (step.action == TOGGLE))


def _result_fetch(step: StepInfo) -> StepResult:
    """Facts: the target's code; picking up any object ends the episode."""
    taken = step.state.carried != EMPTY
    return StepResult(taken & (step.state.carried == step.facts[:, 0]), taken)


def _result_put_near(step: StepInfo) -> StepResult:
    """Facts: the code of the object to move, the target's cell at the start of the episode.

    Trying to drop the carried object ends the episode, even if the cell ahead is occupied.
    """
    carried, before = step.state.carried, step.events.carried
    wrong = (step.action == PICKUP) & (carried != EMPTY) & (carried != step.facts[:, 0])
    tried = (step.action == DROP) & (before != EMPTY)
    dx, dy = _distance(step.events.front, step.facts[:, 1], step.height)
    near = (dx <= 1) & (dy <= 1)
    return StepResult(tried & (carried == EMPTY) & near, wrong | tried)


def _result_red_blue(step: StepInfo) -> StepResult:
    """Facts: the cells of the red and of the blue door.

    An open blue door ends the episode, with success if the red door was open before the step.
    Opening the red door after the blue one ends it without success.
    """
    red_before, red = _open_before_and_after(step, 0, RED)
    blue_before, blue = _open_before_and_after(step, 1, BLUE)
    return StepResult(blue & red_before, blue | (red & blue_before))


def _result_unlock(step: StepInfo) -> StepResult:
    """Facts: the door's cell."""
    door = step.state.cells.gather(1, step.facts).squeeze(1)
    opened = (step.action == TOGGLE) & (door & 15 == DOOR)
    return StepResult(opened, opened)


def _open_before_and_after(step: StepInfo, fact: int, colour: int) -> tuple[Tensor, Tensor]:
    door = step.facts[:, fact : fact + 1]
    now = step.state.cells.gather(1, door).squeeze(1)
    before = torch.where(step.events.front == door.squeeze(1), step.events.ahead, now)
    is_open = pack(DOOR, colour, OPEN)
    return before == is_open, now == is_open


def _distance(
    a: Int[Tensor, " B"], b: Int[Tensor, " B"], height: int
) -> tuple[Int[Tensor, " B"], Int[Tensor, " B"]]:
    """The distance of two cells along x and along y."""
    return (a // height - b // height).abs(), (a % height - b % height).abs()


def _code(kind: str, colour: str) -> int:
    from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

    return pack(OBJECT_TO_IDX[kind], COLOR_TO_IDX[colour])


def _find(env: Any, thing: WorldObj) -> int:
    """The cell of an object that has no position of its own."""
    number = next(i for i, other in enumerate(env.grid.grid) if other is thing)
    return place(env, (number % env.grid.width, number // env.grid.width))


BASE = TaskRules(lambda env: [], _result_base)
PICKED_UP = TaskRules(lambda env: [_code(env.obj.type, env.obj.color)], _result_picked_up)
DONE_NEAR = TaskRules(lambda env: [place(env, env.target_pos)], _result_done_near)
FETCH = TaskRules(lambda env: [_code(env.targetType, env.targetColor)], _result_fetch)
PUT_NEAR = TaskRules(
    lambda env: [_code(env.move_type, env.moveColor), place(env, env.target_pos)],
    _result_put_near,
)
RED_BLUE = TaskRules(
    lambda env: [_find(env, env.red_door), _find(env, env.blue_door)], _result_red_blue
)
UNLOCK = TaskRules(lambda env: [_find(env, env.door)], _result_unlock)
