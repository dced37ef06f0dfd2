"""What a key at a terminal means to a task: letters, arrows and typed numbers as actions."""

from __future__ import annotations

import re
from typing import Any, Final, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from memrl.rollout.spaces import encode_action

QUIT: Final = ("q", "\x03", "\x04")  # Ctrl-C and Ctrl-D are keys where the terminal is raw

# An arrow key arrives as one escape sequence; the last two of each are a Windows console's.
_ARROWS: Final = {
    "up": ("\x1b[A", "\x1bOA", "\xe0H", "\x00H"),
    "down": ("\x1b[B", "\x1bOB", "\xe0P", "\x00P"),
    "right": ("\x1b[C", "\x1bOC", "\xe0M", "\x00M"),
    "left": ("\x1b[D", "\x1bOD", "\xe0K", "\x00K"),
}
_NAMED: Final = {code: name for name, codes in _ARROWS.items() for code in codes} | {
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\b": "backspace",
}
_SIGNS: Final = {"up": "↑", "down": "↓", "right": "→", "left": "←"}
_TYPING: Final = (*"0123456789 -.", "enter", "backspace")
_KEY: Final = re.compile(r"\x1b[\[O].|[\x00\xe0].|.", re.DOTALL)


def split_keys(typed: str) -> list[str]:
    """The keys in what a terminal handed over at once: characters, and names of the others."""
    return [_NAMED.get(key, key) for key in _KEY.findall(typed)]


@final
class Keyboard:
    """Turns keys into actions of one environment.

    Up to ten choices have a key each: their number, and an arrow or a letter where they have a
    name. Everything else is typed, numbers with blanks between them, and sent by Enter. A motor
    (a ``Box`` of one number with bounds) also takes ← for its lowest, → for its highest, ↓ for 0.

    Args:
        space: of one action.
        names: what the numbers of a Discrete space do; may be empty.
    """

    def __init__(self, space: spaces.Space[Any], names: tuple[str, ...] = ()) -> None:
        self.space = space
        self.typed = ""
        self._actions = _bindings(space, names)
        self.hint = _hint(self._actions, names) if _has_keys(space) else _typing(space)

    def press(self, key: str) -> Tensor | None:
        """The action [1, ...] that a key completes; None where it completes none.

        Raises:
            ValueError: what was typed is no action, or the key means nothing.
        """
        if key in self._actions:
            self.typed = ""
            return self._encode(self._actions[key])
        if _has_keys(self.space) or key not in _TYPING:
            raise ValueError(f"{_shown(key)} means nothing here; what does, stands below")
        if key == "enter" and self.typed:
            typed, self.typed = self.typed, ""
            return self._parse(typed)
        if key == "backspace":
            self.typed = self.typed[:-1]
        elif key != "enter":
            self.typed += key
        return None

    def _parse(self, typed: str) -> Tensor:
        shape = self.space.shape or ()
        size = int(np.prod(shape))
        try:
            values = np.array([float(word) for word in typed.split()])
        except ValueError:
            values = np.empty(0)
        if values.size != size:
            plural = "s" * (size > 1)
            raise ValueError(f"{typed} is no action: {size} number{plural} would be")
        action = values.astype(self.space.dtype).reshape(shape)
        if not self.space.contains(action[()]) or not np.allclose(action, values.reshape(shape)):
            raise ValueError(f"{typed} is no action: {_allowed(self.space)}")
        return self._encode(action)

    def _encode(self, value: Any) -> Tensor:
        return encode_action(self.space, np.asarray(value)[None], torch.device("cpu"))


def _bindings(space: spaces.Space[Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Keys that are actions by themselves."""
    if isinstance(space, spaces.Box) and space.shape == (1,) and space.is_bounded():
        return {"left": [float(space.low[0])], "down": [0.0], "right": [float(space.high[0])]}
    if not isinstance(space, spaces.Discrete) or not _has_keys(space):
        return {}
    count = int(space.n)
    bound: dict[str, Any] = {str(action): action for action in range(count)}
    for action, name in enumerate(names[:count]):
        arrow = _arrow(name)
        free = [letter for letter in name if letter.isalpha() and letter not in {*bound, "q"}]
        if arrow and arrow not in bound:
            bound[arrow] = action
        elif free:
            bound[free[0]] = action
    return bound


def _has_keys(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Discrete) and int(space.n) <= 10


def _arrow(name: str) -> str | None:
    words = {"left": "left", "right": "right", "forward": "up", "up": "up", "down": "down"}
    return next((words[word] for word in name.lower().split() if word in words), None)


def _shown(key: str) -> str:
    """A key as a person knows it."""
    return (_SIGNS | {" ": "space"}).get(key) or (key if key.isprintable() else "that key")


def _hint(bound: dict[str, Any], names: tuple[str, ...]) -> str:
    keys: dict[int, list[str]] = {}
    for key, action in bound.items():
        keys.setdefault(action, []).insert(0, _SIGNS.get(key, key))
    labels = [
        f"{' '.join(found)} {names[action]}" if action < len(names) else found[0]
        for action, found in keys.items()
    ]
    return "   ".join(labels)


def _allowed(space: spaces.Space[Any]) -> str:
    """Which numbers are an action."""
    match space:
        case spaces.Discrete():
            return f"a whole number from 0 to {space.n - 1} is"
        case spaces.MultiDiscrete():
            ranges = ", ".join(f"0 … {size - 1}" for size in space.nvec)
            return f"whole numbers in {ranges} are"
        case spaces.Box() if np.ptp(space.low) == 0 and np.ptp(space.high) == 0:
            low, high = (f"{float(b.flat[0]):g}".replace("-", "−") for b in (space.low, space.high))
            numbers = "a number" if space.low.size == 1 else "numbers"
            return f"{numbers} between {low} and {high} {'is' if space.low.size == 1 else 'are'}"
    return f"one of {space} would be"


def _typing(space: spaces.Space[Any]) -> str:
    """What to type where actions have no keys."""
    match space:
        case spaces.Discrete():
            return f"type 0 … {space.n - 1}, Enter sends it"
        case spaces.MultiDiscrete():
            ranges = ", ".join(f"0 … {size - 1}" for size in space.nvec)
            return f"type {len(space.nvec)} numbers ({ranges}), Enter sends them"
        case spaces.Box() if space.shape == (1,) and space.is_bounded():
            low, high = float(space.low[0]), float(space.high[0])
            return f"← {low:g}   ↓ 0   → {high:g}, or type a number, Enter sends it"
    return f"type {int(np.prod(space.shape or ()))} numbers, Enter sends them"
