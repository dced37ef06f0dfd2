"""Observations and actions as text: their numbers, and the meaning of these where it is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from memrl.envs.catalogue import EnvCard
from memrl.envs.missions import VOCABULARY, decode
from memrl.rollout.tokens import Tokens

_HEADINGS: Final = ("east", "south", "west", "north")


def entry_text(key: str, obs: Mapping[str, NDArray[Any]], space: spaces.Dict, card: EnvCard) -> str:
    """One entry of one environment's observation."""
    value, part = obs[key], space[key]
    # With antialias the flag is_t0 marks first observations: prev_action has no "none yet" then.
    if key == "prev_action" and "is_t0" not in space.spaces and _is_none(value, part):
        return "none yet"
    if isinstance(part, spaces.Discrete):
        headings = _HEADINGS if int(part.n) == len(_HEADINGS) else ()
        names = {"obs": card.symbols, "prev_action": card.actions, "direction": headings}
        known, number = names.get(key, ()), int(value)
        meaning = known[number] if number < len(known) else f"(0 … {part.n - 1})"
        return f"{number} {meaning}"
    if _is_sentence(part):
        return decode(torch.as_tensor(value)[None])[0]
    return _numbers(value)


def mission_of(obs: Mapping[str, NDArray[Any]], space: spaces.Dict, card: EnvCard) -> str:
    """The mission in one environment's observation as a sentence; empty if it has none."""
    has_mission = "mission" in space.spaces and _is_sentence(space["mission"])
    return entry_text("mission", obs, space, card) if has_mission else ""


def action_text(action: NDArray[Any] | np.generic, card: EnvCard) -> str:
    """One action: its name if it has one, else its numbers."""
    if action.ndim == 0 and action.dtype.kind in "iu" and int(action) < len(card.actions):
        return card.actions[int(action)]
    return _numbers(action)


def _is_sentence(space: spaces.Space[Any]) -> bool:
    return isinstance(space, Tokens) and space.num_symbols == len(VOCABULARY)


def _is_none(value: NDArray[Any], space: spaces.Space[Any]) -> bool:
    """Whether every part has its largest value, which `Previous` uses for "none yet"."""
    match space:
        case spaces.Discrete():
            return int(value) == int(space.n) - 1
        case spaces.MultiDiscrete():
            return bool((value == space.nvec - 1).all())
    return False


def _numbers(value: NDArray[Any] | np.generic) -> str:
    digits = "{:.3f}" if value.dtype.kind == "f" else "{:.0f}"
    return "  ".join(digits.format(float(number)) for number in np.ravel(value))
