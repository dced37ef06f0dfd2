"""Errors and warnings as the one sentence that a person reads."""

from __future__ import annotations

from pathlib import Path

import pytest

import memrl
from memrl.cli.error_text import one_sentence, warning_text


def error_of(action):
    try:
        action()
    except OSError as error:
        return one_sentence(error)
    pytest.fail("no error was raised")


@pytest.mark.parametrize("below", ["", "runs", "runs/gru"])
def test_a_file_where_a_folder_is_wanted_is_named(tmp_path, below):
    file = tmp_path / "taken"
    file.touch()
    said = error_of(lambda: (file / below).mkdir(parents=True))
    assert said == f"{file} is a file, where a folder is wanted: choose another place"


def test_what_the_system_says_of_a_file_comes_without_its_number(tmp_path):
    assert error_of((tmp_path / "x").read_text) == f"{tmp_path / 'x'}: no such file or directory"


def test_what_the_system_says_of_no_file_is_left_as_it_is():
    assert one_sentence(OSError("the line is busy")) == "the line is busy"


def test_a_warning_of_memrl_is_a_sentence_and_others_tell_their_line():
    own = Path(memrl.__file__).with_name("registry.py")
    assert warning_text("it is slow", UserWarning, str(own), 3) == "it is slow\n"
    other = warning_text("it is slow", UserWarning, "agent.py", 3, "act()")
    assert other == "agent.py:3: UserWarning: it is slow\n  act()\n"


def test_what_the_system_says_of_an_open_file_has_no_name():
    assert one_sentence(OSError(9, "Bad file descriptor", 3)).endswith("Bad file descriptor: 3")
