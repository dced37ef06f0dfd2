"""A small language of assignments, additions modulo 10 and loops: random programs, their trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, NamedTuple, TypeAlias

BASE: Final = 10  # values are 0 … 9
_LOOPS: Final = 0.3  # probability that a line opens a loop where it may
_ADDS: Final = 0.6  # probability that a known variable is added to, and not overwritten


class Assign(NamedTuple):
    """``a = 3`` or ``a = b``: a gets that value; ``a + 3`` or ``a + b``: it is added to a."""

    variable: str
    sign: str
    operand: str


class Loop(NamedTuple):
    """``loop 2 { … }``."""

    times: int
    body: tuple[Statement, ...]


Statement: TypeAlias = Assign | Loop


def random_program(
    random: Random, lines: int, *, variables: Sequence[str], repeats: int, nesting: int
) -> tuple[Statement, ...]:
    """A program of ``lines`` assignments and loops, which reads no variable before it is assigned.

    Args:
        random: is drawn from.
        lines: assignments, and heads of loops.
        variables: their names.
        repeats: a loop repeats its body twice to so often.
        nesting: loops that are open at once, at most.
    """
    return _block(random, lines, variables, repeats, nesting, known=set())


def _block(
    random: Random,
    lines: int,
    variables: Sequence[str],
    repeats: int,
    nesting: int,
    known: set[str],
) -> tuple[Statement, ...]:
    """``lines`` lines after which also the variables that they assign are ``known``."""
    block: list[Statement] = []
    while lines:
        if known and nesting and lines > 1 and random.random() < _LOOPS:
            inner = random.randint(1, lines - 1)
            times = random.randint(2, repeats)
            body = _block(random, inner, variables, repeats, nesting - 1, known)
            block.append(Loop(times, body))
            lines -= inner + 1
        else:
            block.append(_assignment(random, variables, known))
            lines -= 1
    return tuple(block)


def _assignment(random: Random, variables: Sequence[str], known: set[str]) -> Assign:
    variable = random.choice(variables)
    sign = "+" if variable in known and random.random() < _ADDS else "="
    others = sorted(known - {variable})
    operand = (
        random.choice(others) if others and random.random() < 0.5 else str(random.randrange(BASE))
    )
    known.add(variable)
    return Assign(variable, sign, operand)


def tokens(program: Sequence[Statement]) -> Iterator[str]:
    """The words of a program, three for an assignment and four for a loop without its body."""
    for statement in program:
        if isinstance(statement, Assign):
            yield from statement
        else:
            yield from ("loop", str(statement.times), "{")
            yield from tokens(statement.body)
            yield "}"


def trace(program: Sequence[Statement]) -> list[int]:
    """The values that assignments give their variables, in the order of execution."""
    return list(_execute(program, {}))


def _execute(program: Sequence[Statement], values: dict[str, int]) -> Iterator[int]:
    for statement in program:
        if isinstance(statement, Loop):
            for _ in range(statement.times):
                yield from _execute(statement.body, values)
            continue
        variable, sign, operand = statement
        value = int(operand) if operand.isdigit() else values[operand]
        values[variable] = (value + values[variable]) % BASE if sign == "+" else value
        yield values[variable]
