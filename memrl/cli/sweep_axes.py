"""Which jobs a sweep consists of, and the words for those that are left of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import prod
from typing import Final, TypeAlias

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from memrl.config.composition import FOLDER_FLAGS
from memrl.plugins import plugin_words

_SWEEPS: Final = ("-m", "--multirun")
Axes: TypeAlias = dict[str, list[str]]  # by key, the overrides that a word of a sweep stands for


def split_flags(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags of Hydra, each followed by its value, but without ``-m``; and changes to the config."""
    flags, changes, left = [], [], iter(words)
    for word in left:
        if not word.startswith("-"):
            changes.append(word)
        elif word in FOLDER_FLAGS:
            flags += [word, next(left, "")]
        elif word not in _SWEEPS:
            flags.append(word)
    return flags, changes


def again(command: str, words: Sequence[str]) -> str:
    """``memrl train`` with the flags and plug-ins of this command line, but no changes."""
    flags, _ = split_flags(words)
    return shlex.join(["memrl", command, *plugin_words(), *flags])


def axes_of(words: Sequence[str]) -> Axes | None:
    """The overrides that each word stands for; None if a sweeper of the user decides on them.

    Hydra's own sweeper plays their product, in which the last word changes fastest.
    """
    _, changes = split_flags(words)
    axes: Axes = {}
    try:
        parsed = OverridesParser.create().parse_overrides(changes)
        if any(override.key_or_group == "hydra/sweeper" for override in parsed):
            return None
        for word, override in zip(changes, parsed, strict=True):
            key = override.get_key_element()
            if not override.is_sweep_override():
                axes[key] = [word]
            elif override.is_discrete_sweep():
                axes[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
            else:
                return None
    except HydraException:  # Hydra will refuse these words itself, and is then explained
        return None
    return axes


def job_words(axes: Axes, index: int) -> list[str]:
    """What sets a job apart: its words on the axes that have several."""
    digits = _digits(axes, index)
    return [
        words[digit] for words, digit in zip(axes.values(), digits, strict=True) if len(words) > 1
    ]


def commands_after(axes: Axes, done: int, command: str) -> list[str]:
    """The sweeps that together play every job but the first ``done``, in their order."""
    if done >= prod(map(len, axes.values())):
        return []
    choices, at = list(axes.values()), _digits(axes, done)
    last = max((i for i, digit in enumerate(at) if digit), default=0)
    sweeps = []
    for i in range(last, -1, -1):
        left = choices[i][at[i] + (i < last) :]
        if left:
            fixed = [[words[digit]] for words, digit in zip(choices[:i], at[:i], strict=True)]
            words = [_joined(part) for part in [*fixed, left, *choices[i + 1 :]]]
            sweeps.append(f"{command} -m {shlex.join(words)}")
    return sweeps


def _digits(axes: Axes, index: int) -> list[int]:
    """The place of a job on each axis."""
    digits = []
    for words in reversed(axes.values()):
        index, digit = divmod(index, len(words))
        digits.append(digit)
    return digits[::-1]


def _joined(words: Sequence[str]) -> str:
    """``seed=1`` and ``seed=2`` as ``seed=1,2``."""
    first, *others = words
    return ",".join([first, *(word.partition("=")[2] for word in others)])
