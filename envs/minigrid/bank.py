"""Level banks: M levels of an id, drawn once with the ``minigrid`` package and kept as tensors.

The levels follow the package's own distribution because the package made them: level i is what its
environment shows after the i-th ``reset``, the first of them seeded. Beginning an episode is then a
gather, on any device.
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

_PATIENCE = 2.0  # seconds of drawing after which it shows how far it is


class Spec(NamedTuple):
    """What every level of an id has in common."""

    width: int
    height: int
    max_steps: int  # env steps
    see_through_walls: bool


class Bank(NamedTuple):
    """M levels. Codes are those of ``cells``, C = width · height, K facts, L words.

    In every level of MiniGrid the agent begins with empty hands.
    """

    cells: Tensor  # uint8 [M, C + 1]; the last one is the world outside
    contents: Tensor  # uint8 [M, C + 1], or [M, 0] where no box holds anything
    cell: Tensor  # int16 [M]: where the agent stands
    direction: Tensor  # uint8 [M]
    facts: Tensor  # int16 [M, K]: what the task_rules asks of a level
    mission: Tensor  # uint8 [M, L]: words by number; L = 0 where every level has the same one


_DTYPES: Final = {
    "cells": np.uint8,
    "contents": np.uint8,
    "cell": np.int16,
    "direction": np.uint8,
    "facts": np.int16,
    "mission": np.uint8,
}


def draw_bank(id: str, task_rules: TaskRules, size: int, seed: int) -> tuple[Spec, Bank]:
    """Draw ``size`` levels of an id; a bar shows how far it is when that takes seconds.

    Raises:
        ValueError: the installed package does not know the id.
    """
    env = package_env(id)
    tokenizer = mission_tokenizer(env)
    rows: dict[str, list[Any]] = {leaf: [] for leaf in _DTYPES}
    for level in _shown(size, f"drawing {size:,} levels of {id}"):
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
    """Every code that play can bring about: what lies in levels and boxes, doors in every state."""
    found = {EMPTY, *bank.cells.flatten().tolist(), *bank.contents.flatten().tolist()}
    doors = [code >> 4 for code in found if unpack(torch.tensor(code))[0] == DOOR]  # their colours
    opened = {pack(DOOR, colour, state) for colour in doors for state in (OPEN, CLOSED, LOCKED)}
    return tuple(sorted(found | opened))


def package_env(id: str) -> MiniGridEnv:
    """The package's own environment.

    Raises:
        ValueError: the installed package does not know the id.
    """
    import gymnasium
    import minigrid  # noqa: F401  (registers its ids)
    from minigrid.minigrid_env import MiniGridEnv

    if id not in gymnasium.registry:
        raise ValueError(f"the installed minigrid {package_version()} has no {id}; 3.2.0 has")
    # By spec, since by id Gymnasium warns of versions that have a successor.
    env = gymnasium.make(gymnasium.registry[id], disable_env_checker=True).unwrapped
    assert isinstance(env, MiniGridEnv)
    return env


def package_version() -> str:
    """Of the installed ``minigrid``."""
    from importlib.metadata import version

    return version("minigrid")


def mission_tokenizer(env: MiniGridEnv) -> Tokenizer | None:
    """Who makes numbers of an id's missions; None where all of its levels have the same one."""
    said = cast("spaces.Dict", env.observation_space)["mission"]
    tokenizer = tokenizer_of(said)
    assert tokenizer is None or tokenizer.symbols == VOCABULARY, "a word of MiniGrid has no number"
    return tokenizer


def _shown(size: int, what: str) -> Iterator[int]:
    """Count up to ``size``, with a bar on the error stream once two seconds have gone by."""
    begin, number = time.monotonic(), 0
    while number < size and time.monotonic() - begin < _PATIENCE:
        yield number
        number += 1
    if number < size:
        console = Console(stderr=True)
        rest = range(number, size)
        yield from track(rest, what, size, number, console=console, transient=True)
