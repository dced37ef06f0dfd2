"""What the words of a sweep say: how many jobs there are, and what sets them apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Final, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from hydra.errors import HydraException

_FLAGS: Final = ("-m", "--multirun")


class Axes(NamedTuple):
    """The words of a sweep, told apart."""

    fixed: frozenset[str]  # keys that have one value in all jobs
    jobs: int | None  # None where a search decides, or glob(…)
    first: list[str]  # the words of a first job, but for glob(…): Hydra knows what that matches

    def varying(self, words: Iterable[str]) -> list[str]:
        """What sets a job apart: those of its words whose keys vary."""
        return [word for word in words if word.partition("=")[0] not in self.fixed]


def is_sweep(words: Sequence[str]) -> bool:
    """Whether a flag asks Hydra for several jobs."""
    return any(word in _FLAGS for word in words)


def axes_of(words: Iterable[str]) -> Axes:
    """The axes of a sweep over words as Hydra has them; jobs are the product of their values."""
    changes = [word for word in words if not word.startswith("-")]
    try:
        parsed = OverridesParser.create().parse_overrides(changes)
    except HydraException:  # Hydra will refuse these words itself, and is then explained
        return Axes(frozenset(), None, changes)
    last = {override.get_key_element(): override for override in parsed}
    fixed = [key for key, override in last.items() if not override.is_sweep_override()]
    sizes = [_size(last[key]) for key in last if key not in fixed]
    known = [size for size in sizes if size is not None]
    return Axes(
        frozenset(fixed),
        prod(known) if len(known) == len(sizes) else None,
        [_first(override) for override in parsed if not isinstance(override.value(), Glob)],
    )


def _size(override: Override) -> int | None:
    if isinstance(override.value(), Glob) or not override.is_discrete_sweep():
        return None
    return len([*override.sweep_string_iterator()])


def _first(override: Override) -> str:
    """A word of a sweep with the first of its values."""
    value = override.value()
    if not override.is_sweep_override():
        return str(override.input_line)
    if isinstance(value, IntervalSweep):
        return f"{override.get_key_element()}={value.start}"
    return f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}"
