"""Level banks: M levels of an id, generated once by the ``minigrid`` package, as tensors.

The package generates the levels, so they follow its distribution: level i is the state of its
environment after the i-th ``reset``, of which the first has the seed. A reset is then a gather, on
any device.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from memrl.envs.adapters.text import Tokenizer, tokenizer_of
from memrl.envs.minigrid.cells import CLOSED, DOOR, EMPTY, LOCKED, OPEN, pack, unpack
from memrl.envs.minigrid.task_rules import TaskRules
from memrl.envs.minigrid.translate import from_package
from memrl.envs.missions import VOCABULARY

if TYPE_CHECKING:
    from gymnasium import spaces
    from minigrid.minigrid_env import MiniGridEnv

_SECONDS_BEFORE_PROGRESS = 2.0  # of generating levels


class Spec(NamedTuple):
    """Properties that all levels of an id share."""

    width: int
    height: int
    max_steps: int  # env steps
    see_through_walls: bool


class Bank(NamedTuple):
    """M levels with the codes of ``cells``, C = width · height, K facts and L words.

    In every level of MiniGrid the agent starts with empty hands.
    """

    cells: Tensor  # uint8 [M, C + 1]; the last one stands for all cells outside the grid
    contents: Tensor  # uint8 [M, C + 1]; [M, 0] if all boxes are empty
    cell: Tensor  # int16 [M]: the agent's cell
    direction: Tensor  # uint8 [M]
    facts: Tensor  # int16 [M, K]: what the task rules need to know of a level
    mission: Tensor  # uint8 [M, L]: indices of words; L = 0 if all levels have the same one


_DTYPES: Final = {
    "cells": np.uint8,
    "contents": np.uint8,
    "cell": np.int16,
    "direction": np.uint8,
    "facts": np.int16,
    "mission": np.uint8,
}


def draw_bank(id: str, task_rules: TaskRules, size: int, seed: int) -> tuple[Spec, Bank]:
    """Generate ``size`` levels of an id; a progress bar appears after two seconds.

    Raises:
        ValueError: the installed package does not know the id.
    """
    env = package_env(id)
    tokenizer = mission_tokenizer(env)
    rows: dict[str, list[Any]] = {leaf: [] for leaf in _DTYPES}
    for level in _with_progress(size, f"drawing {size:,} levels of {id}"):
        env.reset(seed=seed if level == 0 else None)
        state = from_package([env])
        rows["cells"].append(state.cells[0].numpy())
        rows["contents"].append(state.contents[0].numpy())
        rows["cell"].append(int(state.cell))
        rows["direction"].append(int(state.direction))
        rows["facts"].append(task_rules.read_facts(env))
        rows["mission"].append([] if tokenizer is None else tokenizer.encode(env.mission))
    leaves = {leaf: torch.from_numpy(np.array(rows[leaf], d)) for leaf, d in _DTYPES.items()}
    bank = Bank(**leaves)
    if not (bank.contents != EMPTY).any():
        bank = bank._replace(contents=bank.contents[:, :0].clone())
    return Spec(env.width, env.height, env.max_steps, env.see_through_walls), bank


def codes_of(bank: Bank) -> tuple[int, ...]:
    """Every code that can occur: objects of levels and boxes, and doors in every state."""
    found = {EMPTY, *bank.cells.flatten().tolist(), *bank.contents.flatten().tolist()}
    doors = [code >> 4 for code in found if unpack(torch.tensor(code))[0] == DOOR]  # their colours
    opened = {pack(DOOR, colour, state) for colour in doors for state in (OPEN, CLOSED, LOCKED)}
    return tuple(sorted(found | opened))


def package_env(id: str) -> MiniGridEnv:
    """The package's environment.

    Raises:
        ValueError: the installed package does not know the id.
    """
    import gymnasium
    import minigrid  # noqa: F401  (registers its ids)
    from minigrid.minigrid_env import MiniGridEnv

    if id not in gymnasium.registry:
        raise ValueError(
            f"{id} is not in the installed minigrid {package_version()}, allowed: minigrid 3.2.0"
        )
    # Made from its spec: from an id, Gymnasium warns of versions that have a successor.
    env = gymnasium.make(gymnasium.registry[id], disable_env_checker=True).unwrapped
    assert isinstance(env, MiniGridEnv)
    return env


def package_version() -> str:
    """The version of the installed ``minigrid`` package."""
    from importlib.metadata import version

    return version("minigrid")


def mission_tokenizer(env: MiniGridEnv) -> Tokenizer | None:
    """The tokenizer of an id's missions; None if all of its levels have the same one."""
    space = cast("spaces.Dict", env.observation_space)["mission"]
    tokenizer = tokenizer_of(space)
    assert tokenizer is None or tokenizer.symbols == VOCABULARY, "a word is not in the vocabulary"
    return tokenizer


def _with_progress(size: int, what: str) -> Iterator[int]:
    """Count up to ``size``, with a progress bar on stderr after two seconds."""
    begin, number = time.monotonic(), 0
    while number < size and time.monotonic() - begin < _SECONDS_BEFORE_PROGRESS:
        yield number
        number += 1
    if number < size:
        console = Console(stderr=True)
        rest = range(number, size)
        yield from track(rest, what, size, number, console=console, transient=True)
