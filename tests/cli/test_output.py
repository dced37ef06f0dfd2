"""Tables fit the terminal, and lose nothing; a config is shown as far as it is read."""

from __future__ import annotations

import pytest

from memrl.cli.output import NO_BREAK, config_lines, table
from memrl.config.composition import compose

HEADINGS = ["memory", "seeds", "success", "where"]
ROWS = [
    ["dnc slots=16 agent.lr=0.1", "3", f"60.0% [0%,{NO_BREAK}100%]", "runs/dnc"],
    ["gru", "1", "5.0%", "runs/a-directory-with-a-long-name"],
]


def words(text):
    return sorted(text.replace(NO_BREAK, " ").split())


def everything():
    return words(" ".join([*HEADINGS, *(cell for row in ROWS for cell in row)]))


def test_a_wide_terminal_gets_one_line_a_row():
    lines = table(HEADINGS, ROWS, right=["seeds"], width=100).splitlines()
    assert lines[0].split() == HEADINGS
    assert len(lines) == 3
    assert lines[2].index("1") == lines[0].index("seeds") + 4  # aligned to the right
    assert not any(line.endswith(" ") for line in lines)


@pytest.mark.parametrize("width", [100, 80, 66])
def test_a_table_that_fits_is_no_wider_than_the_terminal_and_keeps_every_word(width):
    text = table(HEADINGS, ROWS, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert words(text) == everything()


def test_a_narrow_terminal_gets_a_block_for_each_row():
    text = table(HEADINGS, ROWS, width=40)
    assert text.splitlines()[0] == "memory   dnc slots=16 agent.lr=0.1"
    assert max(map(len, text.splitlines())) <= 42  # the one long word stays whole
    for row in ROWS:
        for cell in row:
            assert set(words(cell)) <= set(words(text))
    first, second = text.split("\n\n")
    assert [line.split()[0] for line in second.splitlines()] == HEADINGS
    assert "[0%, 100%]" in first


def test_what_belongs_together_is_not_broken():
    lines = table(["a"], [[f"60.0% [0%,{NO_BREAK}100%]"]], width=12).splitlines()
    assert lines == ["a", "60.0%", "[0%, 100%]"]


def test_a_run_shows_no_key_that_it_does_not_read():
    shown = " ".join(
        config_lines(compose(["agent.bonus.kind=none", "agent.auxiliary.kind=predict"]))
    )
    assert "bonus.kind=none" in shown
    assert "bonus.scale" not in shown
    assert "auxiliary.weight=0.1" in shown
    assert "auxiliary.distance" not in shown
