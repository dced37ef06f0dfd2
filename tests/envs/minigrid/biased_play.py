"""Play that reaches what matters: the package's state is nudged so that things happen soon."""

from __future__ import annotations

from typing import Any

import numpy as np
from minigrid.core.constants import DIR_TO_VEC
from minigrid.core.world_object import Door, Goal, Key, Wall, WorldObj

Cell = tuple[int, int]


def nudge(env: Any, rng: np.random.Generator) -> None:
    """Sometimes put the agent before something, a thing into its hand, or the clock near its end.

    All of it is done to the package's environment, which says how the game goes on from there.
    """
    if rng.random() < 0.5:
        cells = matters(env) if rng.random() < 0.6 else near_things(env)
        if cells:
            face(env, cells[rng.integers(len(cells))], rng)
    if rng.random() < 0.2:
        fill_hand(env, rng)
    for _, thing in things_of(env):
        if isinstance(thing, Door) and rng.random() < 0.06:
            thing.is_open, thing.is_locked = not thing.is_open, False
    if rng.random() < 0.06:
        env.step_count = env.max_steps - int(rng.integers(1, 4))
    while not (0 <= env.front_pos[0] < env.width and 0 <= env.front_pos[1] < env.height):
        env.agent_dir = (env.agent_dir + 1) % 4  # an agent put outside of the walls may get here


def matters(env: Any) -> list[Cell]:
    """Cells of the goal, the target, the doors of a mission, and around the target."""
    things = [getattr(env, name, None) for name in ("obj", "door", "red_door", "blue_door")]
    cells = [cell for cell, thing in things_of(env) if isinstance(thing, Goal) or thing in things]
    target = getattr(env, "target_pos", None)
    return cells if target is None else [*cells, tuple(target), *around(env, tuple(target))]


def near_things(env: Any) -> list[Cell]:
    """Cells of all things and, half as often, free cells around them."""
    cells = [cell for cell, _ in things_of(env)]
    return 2 * cells + [free for cell in cells for free in around(env, cell)]


def things_of(env: Any) -> list[tuple[Cell, WorldObj]]:
    found = [(i, thing) for i, thing in enumerate(env.grid.grid) if thing is not None]
    width = env.grid.width
    return [((i % width, i // width), thing) for i, thing in found if thing.type != "wall"]


def around(env: Any, cell: Cell) -> list[Cell]:
    beside = [(cell[0] + int(dx), cell[1] + int(dy)) for dx, dy in DIR_TO_VEC]
    return [(x, y) for x, y in beside if inside(env, x, y) and env.grid.get(x, y) is None]


def inside(env: Any, x: int, y: int) -> bool:
    return 0 < x < env.width - 1 and 0 < y < env.height - 1


def face(env: Any, cell: Cell, rng: np.random.Generator) -> None:
    """Let the agent stand beside ``cell`` and look at it, mostly with empty hands."""
    stands = []
    for direction, (dx, dy) in enumerate(DIR_TO_VEC):
        x, y = cell[0] - int(dx), cell[1] - int(dy)
        under = env.grid.get(x, y) if inside(env, x, y) else Wall()
        if under is None or under.can_overlap():
            stands.append(((x, y), direction))
    if stands:
        env.agent_pos, env.agent_dir = stands[rng.integers(len(stands))]
        if rng.random() < 0.6:
            env.carrying = None


def fill_hand(env: Any, rng: np.random.Generator) -> None:
    """The key of a locked door, or a thing that lay about."""
    found = things_of(env)
    locked = [thing for _, thing in found if isinstance(thing, Door) and thing.is_locked]
    loose = [(cell, thing) for cell, thing in found if thing.can_pickup()]
    if locked and rng.random() < 0.7:
        env.carrying = Key(locked[rng.integers(len(locked))].color)
    elif loose and env.carrying is None and not hasattr(env, "obstacles"):
        cell, thing = loose[rng.integers(len(loose))]
        env.grid.set(*cell, None)
        env.carrying = thing
