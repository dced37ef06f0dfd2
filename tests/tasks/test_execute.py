"""Programs against Python itself: the text of a program becomes Python and runs."""

from __future__ import annotations

from random import Random

import pytest
import torch

from memrl.tasks import Execute
from memrl.tasks.execute.programs import Assign, Loop, random_program, tokens, trace


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def as_python(words: list[str]) -> str:
    """A program as Python, with the value of every assignment appended to ``said``."""
    lines, depth, rest = [], 0, list(words)
    while rest:
        if rest[0] == "}":
            depth -= 1
            rest = rest[1:]
            continue
        indent = "    " * depth
        first, second, third, *rest = rest
        if first == "loop":
            assert third == "{"
            lines.append(f"{indent}for _ in range({second}):")
            depth += 1
        else:
            value = third if second == "=" else f"({first} + {third}) % 10"
            lines += [f"{indent}{first} = {value}", f"{indent}said.append({first})"]
    assert depth == 0
    return "\n".join(lines)


def run(words: list[str]) -> list[int]:
    said: list[int] = []
    exec(as_python(words), {"said": said})
    return said


def deepest(words: list[str]) -> int:
    open_now, most = 0, 0
    for word in words:
        open_now += (word == "{") - (word == "}")
        most = max(most, open_now)
    return most


def heard(task: Execute, batch, row: int) -> tuple[list[str], list[str]]:
    return task.texts(type(batch)(*(part[:, row : row + 1] for part in batch)))


@pytest.mark.parametrize(("length", "nesting"), [(1, 0), (5, 1), (7, 2)])
def test_a_batch_asks_for_what_python_computes(length, nesting):
    task = Execute(nesting=1, max_length=5)
    batch = task.sample(67, length, drawn())
    depths, signs = set(), set()
    for row in range(67):
        words, said = heard(task, batch, row)
        end = words.index("run")
        program, values = words[:end], run(words[:end])
        assert said[:end] == [""] * end
        assert said[end : end + len(values) + 1] == [*map(str, values), "halt"]
        assert words[end + 1 : end + 1 + len(values)] == [*map(str, values)]
        rest = end + 1 + len(values)
        assert not batch.x[rest:, row].any()
        assert not batch.mask[rest:, row].any()
        loops, equals = program.count("loop"), program.count("=") + program.count("+")
        assert loops + equals == length
        depths.add(deepest(program))
        signs |= {*program} & {"=", "+", "loop"}
    assert max(depths) == nesting
    assert signs == ({"="} if length == 1 else {"=", "+", "loop"})


def test_a_trace_goes_through_loops_in_loops():
    inner = Loop(3, (Assign("a", "+", "a"),))
    program = (
        Assign("a", "=", "1"),
        Loop(2, (inner, Assign("b", "=", "a"))),
        Assign("b", "+", "7"),
    )
    words = "a = 1 loop 2 { loop 3 { a + a } b = a } b + 7".split()
    assert [*tokens(program)] == words
    assert trace(program) == run(words) == [1, 2, 4, 8, 8, 6, 2, 4, 4, 1]


def test_no_variable_is_read_before_it_has_a_value_and_all_are_used():
    random, used = Random(3), set()
    for _ in range(101):
        program = random_program(random, 7, variables="abcd", repeats=4, nesting=3)
        used |= {*tokens(program)}
        assert trace(program) == run([*tokens(program)])  # Python would raise NameError
    assert used >= {*"abcd", *"0123456789", "=", "+", "loop", "{", "}"}
