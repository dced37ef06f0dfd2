"""The tasks of the Memory family as tables: every state, played in advance on the grid engine."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Final, NamedTuple

import torch
from torch import Tensor

from memrl.envs.minigrid.automaton import Automaton, explore
from memrl.envs.minigrid.engine import NUM_ACTIONS, PICKUP, TOGGLE, GridEngine, GridState
from memrl.envs.minigrid.memory_levels import memory_choices, memory_cue, memory_levels
from memrl.envs.minigrid.start_sampler import StartSampler

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
    bank: StartSampler
    image: Tensor  # uint8 [S, V, V, 3]
    success: Tensor  # bool [S]
    failure: Tensor  # bool [S]
    cue_visible: Tensor  # bool [S]
    max_steps: int  # env steps


@cache
def memory_task(id: str, agent_view_size: int = 7) -> MemoryTask:
    """EpisodeState a task in advance (0.1 to 1 s; remembered, so treat the tensors as read-only).

    Raises:
        ValueError: the id is none of ``MEMORY_IDS``, or the view size none of 3, 5, 7.
    """
    if id not in _LEVELS:
        near = difflib.get_close_matches(id, MEMORY_IDS, n=1, cutoff=0)[0]
        raise ValueError(f"{id!r} is none of {', '.join(MEMORY_IDS)}; did you mean {near!r}?")
    size, random_length = _LEVELS[id]
    engine = GridEngine(size, size, view_size=agent_view_size)
    starts, bank = memory_levels(size, random_length)

    def advance(state: GridState, action: Tensor) -> GridState:
        # The package plays a pickup as a toggle here, so that nothing can be picked up.
        return engine.step(state, torch.where(action == PICKUP, TOGGLE, action))[0]

    def absorbing(state: GridState) -> Tensor:
        success, failure = memory_choices(state.cells, size)
        return (state.cell == success) | (state.cell == failure)

    automaton = explore(starts, NUM_ACTIONS, advance, absorbing)
    states = automaton.states
    success, failure = memory_choices(states.cells, size)
    index, lit = engine.visible_cells(states)
    return MemoryTask(
        engine,
        automaton,
        bank,
        image=engine.observe(states),
        success=states.cell == success,
        failure=states.cell == failure,
        cue_visible=(lit & (index == memory_cue(size))).any(1),
        max_steps=5 * size**2,
    )
