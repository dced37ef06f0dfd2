"""What a search varies: Hydra's words for sweeps, as intervals and choices to draw from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from hydra.errors import HydraException

from memrl.errors import nearest

Number: TypeAlias = int | float
_WORDS: Final = ("choice", "interval", "range", "tag", "int", "float")
_SHARED: Final = ("env", "env.id", "env.family", "+run", "total_steps", "device")


class Interval(NamedTuple):
    """Numbers from ``low`` to ``high``; of whole numbers both ends are drawn, too."""

    low: Number
    high: Number
    log: bool  # whether each order of magnitude is as likely as another
    whole: bool

    def examples(self) -> list[str]:
        return [self.text(self.low), self.text(self.high)]

    def text(self, value: Number) -> str:
        """A number that was drawn, as a word has it: whole, or with six digits."""
        return str(round(value)) if self.whole else f"{value:.6g}"


class Choice(NamedTuple):
    """Values as words have them."""

    values: tuple[str, ...]

    def examples(self) -> list[str]:
        return [*self.values]

    def text(self, value: str) -> str:
        """A value that was drawn, as a word has it."""
        return value


Axis: TypeAlias = Interval | Choice


class Space(NamedTuple):
    """The words of a search: those that every trial has, and by key what others are drawn from."""

    fixed: list[str]
    axes: dict[str, Axis]

    def words(self, drawn: Mapping[str, Number | str]) -> list[str]:
        """What sets a trial apart."""
        return [f"{key}={axis.text(drawn[key])}" for key, axis in self.axes.items()]  # type: ignore[arg-type]

    def corners(self) -> Iterator[list[str]]:
        """All words of a few trials, so that every choice and every end is in one of them."""
        first = {key: axis.examples()[0] for key, axis in self.axes.items()}
        for key, axis in self.axes.items():
            for value in axis.examples():
                drawn = {**first, key: value}
                yield [*self.fixed, *(f"{name}={drawn[name]}" for name in self.axes)]


def split_space(words: Sequence[str]) -> Space:
    """Sort the words of a search.

    ``memory.hidden_dim=64,128`` and ``choice(64,128)`` are a choice, ``range(1,9)`` one of whole
    numbers, ``interval(0,0.1)`` is an interval, ``tag(log, interval(1e-4,1e-2))`` one of orders of
    magnitude, ``int(interval(16,256))`` one of whole numbers.

    Raises:
        ValueError: no word varies, two are of one key, or one varies what cannot be drawn from.
    """
    parser, fixed, axes = OverridesParser.create(), list[str](), dict[str, Axis]()
    for word in words:
        override = _parsed(word, parser)
        if override is None or not override.is_sweep_override():
            fixed.append(word)
            continue
        key = override.get_key_element()
        if key in _SHARED:
            raise ValueError(f"{word}: all trials of a search have the same {key.lstrip('+')}")
        if key in axes:
            raise ValueError(f"{word}: {key} is drawn from another word already")
        axes[key] = _axis(word, override)
    for word in fixed:
        if (key := word.partition("=")[0]) in axes:
            raise ValueError(f"{word}: another word draws {key}")
    if not axes:
        raise ValueError(
            "a search varies nothing yet: write memory.hidden_dim=64,128, or "
            "'agent.lr=tag(log, interval(1e-4,1e-2))'"
        )
    return Space(fixed, axes)


def _parsed(word: str, parser: OverridesParser) -> Override | None:
    """A word as Hydra reads it; None for a flag, and for what only quotes make a value.

    Raises:
        ValueError: it calls a function that Hydra has not.
    """
    if word.startswith("-"):
        return None
    try:
        return parser.parse_override(word)
    except HydraException as error:
        if unknown := re.search(r"Unknown function '(\w+)'", str(error)):
            hint = nearest(unknown[1], _WORDS)
            allowed = ", ".join(_WORDS)
            raise ValueError(f"{word}: no {unknown[1]}(…), allowed: {allowed}{hint}") from None
        return None


def _axis(word: str, override: Override) -> Axis:
    swept = override.value()
    if isinstance(swept, Glob):
        raise ValueError(f"{word}: write what is drawn from, as in memory=lstm,gru")
    if not isinstance(swept, IntervalSweep):
        return Choice(tuple(dict.fromkeys(override.sweep_string_iterator())))
    if other := swept.tags - {"log"}:
        raise ValueError(f"{word}: tag {min(other)!r}, allowed: log")
    assert swept.start is not None
    assert swept.end is not None
    log, low, high = "log" in swept.tags, swept.start, swept.end
    if not low < high or (log and low <= 0):
        above = "0 < low < high" if log else "low < high"
        raise ValueError(f"{word}: an interval wants {above}")
    return Interval(low, high, log, isinstance(low, int) and isinstance(high, int))
