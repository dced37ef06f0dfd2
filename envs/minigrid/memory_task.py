"""The tasks of the Memory family as tables over all states, computed with the grid engine."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import torch
from torch import Tensor

from memrl.envs.minigrid.automaton import Automaton, explore
from memrl.envs.minigrid.cells import BALL, GREEN, pack
from memrl.envs.minigrid.engine import NUM_ACTIONS, PICKUP, TOGGLE, GridEngine, GridState
from memrl.envs.minigrid.memory_levels import memory_choices, memory_cue, memory_levels
from memrl.envs.minigrid.start_sampler import StartSampler
from memrl.errors import nearest

_LEVELS: Final = {  # id: (size, random length of the hallway)
    "MiniGrid-MemoryS7-v0": (7, False),
    "MiniGrid-MemoryS9-v0": (9, False),
    "MiniGrid-MemoryS11-v0": (11, False),
    "MiniGrid-MemoryS13-v0": (13, False),
    "MiniGrid-MemoryS13Random-v0": (13, True),
    "MiniGrid-MemoryS17Random-v0": (17, True),
}
MEMORY_IDS: Final = tuple(_LEVELS)


class MemoryTask(NamedTuple):
    """One id at one view size as tables over its S states, on the CPU."""

    engine: GridEngine
    automaton: Automaton
    starts: StartSampler
    image: Tensor  # uint8 [S, V, V, 3]
    success: Tensor  # bool [S]
    failure: Tensor  # bool [S]
    cue: Tensor  # int64 [S]; 0 a key, 1 a ball
    cue_visible: Tensor  # bool [S]
    max_steps: int  # env steps


@cache
def memory_task(id: str, agent_view_size: int = 7) -> MemoryTask:
    """Compute the tables of a task (0.1 to 1 s; cached, so treat the tensors as read-only).

    Raises:
        ValueError: the id is not in ``MEMORY_IDS``, or the view size is not 3, 5 or 7.
    """
    if id not in _LEVELS:
        allowed = ", ".join(MEMORY_IDS)
        raise ValueError(f"id is {id!r}, allowed: {allowed}{nearest(id, MEMORY_IDS)}")
    size, random_length = _LEVELS[id]
    engine = GridEngine(size, size, view_size=agent_view_size)
    states, starts = memory_levels(size, random_length)

    def advance(state: GridState, action: Tensor) -> GridState:
        # The package turns a pickup into a toggle here, so that the agent cannot pick up objects.
        return engine.step(state, torch.where(action == PICKUP, TOGGLE, action))[0]

    def absorbing(state: GridState) -> Tensor:
        success, failure = memory_choices(state.cells, size)
        return (state.cell == success) | (state.cell == failure)

    automaton = explore(states, NUM_ACTIONS, advance, absorbing)
    states = automaton.states
    success, failure = memory_choices(states.cells, size)
    index, lit = engine.visible_cells(states)
    return MemoryTask(
        engine,
        automaton,
        starts,
        image=engine.observe(states),
        success=states.cell == success,
        failure=states.cell == failure,
        cue=(states.cells[:, memory_cue(size)] == pack(BALL, GREEN)).long(),
        cue_visible=(lit & (index == memory_cue(size))).any(1),
        max_steps=5 * size**2,
    )
