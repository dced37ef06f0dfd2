"""What commands print: sentences, a config in a few lines, tables that fit the terminal."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from memrl.config.models import Common
from memrl.options import what_is_read

Say: TypeAlias = Callable[[str], None]
NO_BREAK: Final = "\u00a0"  # a space at which a cell of a table is never broken; printed as " "
_GAP: Final = 2  # between columns
_SIDE: Final = 11  # characters for the name of a group
_NARROW: Final = 20  # a terminal is never taken to be narrower


def listener(*, as_json: bool, silent: bool = False) -> Say:
    """Where sentences go: stdout, unless one JSON value shall be all that it holds, or nothing."""
    if silent:
        return lambda _: None
    return _to_stderr if as_json else print


def config_lines(config: Common) -> Iterator[str]:
    """The keys of a config that are read, a line for each group, in the words that change them."""
    plain = what_is_read(config)
    yield from _hanging("", _words({k: v for k, v in plain.items() if type(v) is not dict}))
    for key, group in plain.items():
        if isinstance(group, dict):
            yield from _hanging(key, _words(group))


def terminal_width() -> int:
    """Columns of the terminal, or of the variable COLUMNS; 80 where neither is known."""
    return max(shutil.get_terminal_size().columns, _NARROW)


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    width: int | None = None,
) -> str:
    """Rows as text that fits the terminal, without losing or breaking a word.

    Where the columns are too wide together, cells are wrapped between words; where that does not
    help either, each row becomes a block with a line for each of its cells, empty ones left out.
    A single word that is longer than the terminal stays whole.

    Args:
        headings: one for each column.
        rows: cells, as many as headings.
        right: the headings of columns that are aligned to the right.
        width: of the terminal in characters.
    """
    width = terminal_width() if width is None else width
    columns = [[heading, *cells] for heading, *cells in zip(headings, *rows, strict=True)]
    widths = _fitting(columns, width)
    if widths is None:
        text = "\n\n".join(_block(headings, row, width) for row in rows)
    else:
        aligned = [heading in right for heading in headings]
        lines = (_row(cells, widths, aligned) for cells in (headings, *rows))
        text = "\n".join(line for row in lines for line in row)
    return text.replace(NO_BREAK, " ")


def paragraph(text: str, *, width: int | None = None) -> str:
    """A text that is broken between words to fit the terminal."""
    return "\n".join(_wrap(text, terminal_width() if width is None else width))


def _fitting(columns: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Widths of columns: the widest is wrapped first; None if their longest words do not fit."""
    widths = [max(len(cell) for cell in column) for column in columns]
    least = [max(len(word) for cell in column for word in _split(cell)) for column in columns]
    room = width - _GAP * (len(columns) - 1)
    if sum(least) > room:
        return None
    while sum(widths) > room:
        _, widest = max((size, i) for i, size in enumerate(widths) if size > least[i])
        widths[widest] -= 1
    return widths


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """The lines of a row whose cells are wrapped to the widths of their columns."""
    wrapped = [_wrap(cell, size) for cell, size in zip(cells, widths, strict=True)]
    height = max(len(lines) for lines in wrapped)
    filled = [lines + [""] * (height - len(lines)) for lines in wrapped]
    return [
        (" " * _GAP)
        .join(
            part.rjust(size) if is_right else part.ljust(size)
            for part, size, is_right in zip(parts, widths, right, strict=True)
        )
        .rstrip()
        for parts in zip(*filled, strict=True)
    ]


def _block(headings: Sequence[str], row: Sequence[str], width: int) -> str:
    """A row turned: one line a cell, longer cells wrapped beside their heading."""
    side = max(len(heading) for heading in headings) + _GAP
    lines = []
    for heading, cell in zip(headings, row, strict=True):
        for i, part in enumerate(_wrap(cell, max(width - side, 1)) if cell else []):
            lines.append(f"{'' if i else heading:{side}}{part}")
    return "\n".join(lines)


def _wrap(cell: str, width: int) -> list[str]:
    return textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False) or [""]


def _split(cell: str) -> list[str]:
    return cell.split(" ") or [""]


def _hanging(name: str, words: Iterable[str]) -> Iterator[str]:
    """Words beside a name, in as many lines as the terminal wants."""
    lines = _wrap(" ".join(words), terminal_width() - _SIDE)
    for i, line in enumerate(lines):
        yield f"{'' if i else name:{_SIDE}}{line}"


def _words(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _words(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={value if isinstance(value, str) else json.dumps(value)}"


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)
