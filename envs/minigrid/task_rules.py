"""What the families of MiniGrid add to the base step: who wins, and what ends an episode.

An task_rules reads a few numbers about a level once (its facts: a target's code, a door's cell) and
judges every step from them. All facts of a batch are one tensor, so that an episode begins by a
gather. Each judgement is the package's, its quirks included.
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
    """A step, seen from its end."""

    facts: Tensor  # int64 [B, K]: the task_rules's own
    action: Tensor  # int64 [B]
    state: GridState  # after the step
    events: Events
    height: int  # of the grids: a cell is x · height + y


class StepResult(NamedTuple):
    """How a step ends."""

    success: Tensor  # bool [B]: pays 1 - 0.9 · t / max_steps
    terminated: Tensor  # bool [B]
    penalty: Tensor | None = None  # bool [B]: costs 1; None: nothing does


class TaskRules(NamedTuple):
    """A family's own rules.

    ``read`` makes the facts of a level from the package's environment after its reset. ``stir``,
    where there is one, moves things before the agent moves: from (facts, state, random numbers of
    63 bits [B, K], engine) to new facts; it may write into the cells of the state.
    """

    read: Callable[[Any], list[int]]
    result: Callable[[StepInfo], StepResult]
    stir: Callable[[Tensor, GridState, Tensor, GridEngine], Tensor] | None = None
    num_actions: int = NUM_ACTIONS


def place(env: Any, position: Any) -> int:
    """The number of the cell at (x, y) of a package's environment."""
    return int(position[0]) * int(env.height) + int(position[1])


def _result_base(step: StepInfo) -> StepResult:
    return StepResult(step.events.goal, step.events.goal | step.events.lava)


def _result_picked_up(step: StepInfo) -> StepResult:
    """Facts: the target's code, of which there is one in the level."""
    taken = (step.action == PICKUP) & (step.state.carried == step.facts[:, 0])
    return StepResult(taken, taken)


def _result_done_near(step: StepInfo) -> StepResult:
    """Facts: the cell where the target stood when the episode began.

    Any toggle loses. To be done next to that cell wins, whatever stands there by now.
    """
    done = step.action == DONE
    dx, dy = _distance(step.state.cell, step.facts[:, 0], step.height)
    return StepResult(done & (dx + dy == 1), done | (step.action == TOGGLE))


def _result_fetch(step: StepInfo) -> StepResult:
    """Facts: the target's code; whatever is picked up ends the episode."""
    taken = step.state.carried != EMPTY
    return StepResult(taken & (step.state.carried == step.facts[:, 0]), taken)


def _result_put_near(step: StepInfo) -> StepResult:
    """Facts: the code of what to move, the cell where the target stood.

    Trying to drop what is carried ends the episode, even where there is no room for it.
    """
    carried, before = step.state.carried, step.events.carried
    wrong = (step.action == PICKUP) & (carried != EMPTY) & (carried != step.facts[:, 0])
    tried = (step.action == DROP) & (before != EMPTY)
    dx, dy = _distance(step.events.front, step.facts[:, 1], step.height)
    near = (dx <= 1) & (dy <= 1)
    return StepResult(tried & (carried == EMPTY) & near, wrong | tried)


def _result_red_blue(step: StepInfo) -> StepResult:
    """Facts: the cells of the red and of the blue door.

    An open blue door ends the episode, well if the red one was open before the step; the red one
    after the blue one ends it badly.
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
    """Between two cells, along x and along y."""
    return (a // height - b // height).abs(), (a % height - b % height).abs()


def _code(kind: str, colour: str) -> int:
    from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

    return pack(OBJECT_TO_IDX[kind], COLOR_TO_IDX[colour])


def _find(env: Any, thing: WorldObj) -> int:
    """The cell of an object that does not know its place."""
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
