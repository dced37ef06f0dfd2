"""The transition table of a small task: all reachable states, and the next state of each action.

If a task has few states (those of the Memory family have 192 to 2,992), the engine can step once
from every state. All later steps are then a few gathers, hundreds of times faster than the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from memrl.envs.minigrid.engine import GridState


@final
class Automaton(NamedTuple):
    """S states; the start states come first, in their order."""

    states: GridState  # [S]
    next_state: Tensor  # int64 [S, A]; an absorbing state leads to itself
    numbers: dict[bytes, int]  # the index of a state, by its key from `_keys`


def explore(
    starts: GridState,
    num_actions: int,
    advance: Callable[[GridState, Tensor], GridState],
    absorbing: Callable[[GridState], Tensor],
) -> Automaton:
    """Take every action in every state until no new state appears.

    Args:
        starts: distinct start states.
        num_actions: A.
        advance: the step of the task: from states [M] and actions int64 [M] to the next states.
        absorbing: from states [M] to bool [M], True where an episode ends; no action is taken
            there.
    """
    numbers = {key: i for i, key in enumerate(_keys(starts))}
    found, leads = [starts], []
    while found[-1].cell.shape[0]:
        frontier = found[-1]
        size = frontier.cell.shape[0]
        action = torch.arange(num_actions).repeat(size)
        each = torch.arange(size).repeat_interleave(num_actions)
        after = advance(rows(frontier, each), action)
        stays = absorbing(frontier)[each].tolist()
        own, fresh = _keys(frontier), []
        for i, key in enumerate(_keys(after)):
            if stays[i]:
                key = own[i // num_actions]
            elif key not in numbers:
                numbers[key] = len(numbers)
                fresh.append(i)
            leads.append(numbers[key])
        found.append(rows(after, torch.tensor(fresh, dtype=torch.int64)))
    states = GridState(*(torch.cat(parts) for parts in zip(*found, strict=True)))
    return Automaton(states, torch.tensor(leads).view(-1, num_actions), numbers)


def locate(automaton: Automaton, states: GridState) -> Int[Tensor, " B"]:
    """The indices of states.

    Raises:
        ValueError: one of them is not a state of the task.
    """
    keys = _keys(states)
    unknown = [i for i, key in enumerate(keys) if key not in automaton.numbers]
    if unknown:
        raise ValueError(f"rows {unknown} are unknown states, allowed: states of the task")
    return torch.tensor([automaton.numbers[key] for key in keys])


def rows(state: GridState, index: Tensor | slice) -> GridState:
    """Rows of every leaf, by index [M], mask [B] or slice."""
    return GridState(*(leaf[index] for leaf in state))


def _keys(state: GridState) -> list[bytes]:
    """One hashable key per row; equal keys mean equal states."""
    flat = np.concatenate([leaf.reshape(len(leaf), -1).long().numpy() for leaf in state], 1)
    return [row.tobytes() for row in flat]
