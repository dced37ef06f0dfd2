"""Keys of a terminal as actions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from memrl.cli.keyboard import Keyboard, split_keys

MINIGRID = ("left", "right", "forward", "pickup", "drop", "toggle", "done")


def pressed(keyboard, *keys):
    """The action that the last key completes, as plain values; those before it complete none."""
    *first, last = keys
    assert [keyboard.press(key) for key in first] == [None] * len(first)
    action = keyboard.press(last)
    return None if action is None else action.tolist()


def test_what_a_terminal_hands_over_at_once_is_split_into_keys():
    assert split_keys("a\x1b[A7\x1bOD\r\x7f") == ["a", "up", "7", "left", "enter", "backspace"]
    assert split_keys("\xe0H\xe0P\xe0M\xe0K") == ["up", "down", "right", "left"]
    assert split_keys("") == []


def test_named_actions_have_arrows_and_letters_and_all_have_numbers():
    keyboard = Keyboard(spaces.Discrete(7), MINIGRID)
    keys = ["left", "right", "up", "p", "d", "t", "o"]
    assert [pressed(keyboard, key) for key in keys] == [[action] for action in range(7)]
    assert [pressed(keyboard, str(action)) for action in range(7)] == [[a] for a in range(7)]
    assert keyboard.hint == "← 0 left   → 1 right   ↑ 2 forward   p 3 pickup   d 4 drop   " + (
        "t 5 toggle   o 6 done"
    )


def test_no_action_hides_the_key_that_quits():
    keyboard = Keyboard(spaces.Discrete(2), ("quit", "queue"))
    assert pressed(keyboard, "u") == [0]
    with pytest.raises(ValueError, match="q means nothing here"):
        keyboard.press("q")


@pytest.mark.parametrize(
    ("space", "key", "shown"),
    [
        *((spaces.Discrete(2), key, key) for key in ("2", "x", "enter", "backspace", "-")),
        (spaces.Discrete(2), "up", "↑"),
        (spaces.Discrete(2), "\x1b", "that key"),
        (spaces.Discrete(2), " ", "space"),
        (spaces.Discrete(52), "x", "x"),
        (spaces.MultiDiscrete([8, 9]), "left", "←"),
        (spaces.Box(-2.0, 2.0, (1,), np.float32), "up", "↑"),
    ],
)
def test_a_key_that_means_nothing_says_so(space, key, shown):
    with pytest.raises(ValueError, match=f"^{shown} means nothing here"):
        Keyboard(space).press(key)


def test_what_was_typed_outlives_a_key_that_means_nothing():
    keyboard = Keyboard(spaces.Discrete(52))
    keyboard.press("5")
    with pytest.raises(ValueError, match="means nothing"):
        keyboard.press("x")
    assert pressed(keyboard, "1", "enter") == [51]


def test_many_choices_are_typed_and_sent():
    keyboard = Keyboard(spaces.Discrete(52))
    assert pressed(keyboard, "5", "2", "backspace", "1", "enter") == [51]
    assert pressed(keyboard, "enter") is None


def test_several_numbers_are_typed_with_blanks_between():
    keyboard = Keyboard(spaces.MultiDiscrete([8, 9]))
    action = [keyboard.press(key) for key in "7 8"] and keyboard.press("enter")
    assert action.tolist() == [[7, 8]]
    assert action.dtype == torch.int64


def test_a_motor_takes_arrows_and_numbers():
    keyboard = Keyboard(spaces.Box(-2.0, 2.0, (1,), np.float32))
    assert [pressed(keyboard, key) for key in ("left", "down", "right")] == [
        [[-2.0]], [[0.0]], [[2.0]]
    ]  # fmt: skip
    assert pressed(keyboard, "-", "1", ".", "5", "enter") == [[-1.5]]
    assert keyboard.press("right").dtype == torch.float32


@pytest.mark.parametrize(
    ("space", "hint"),
    [
        (spaces.Discrete(3), "0   1   2"),
        (spaces.Discrete(52), "type 0 … 51, Enter sends it"),
        (
            spaces.MultiDiscrete([8, 9]),
            "type 2 numbers (0 … 7, 0 … 8), Enter sends them",
        ),
        (
            spaces.Box(-2.0, 2.0, (1,), np.float32),
            "← -2   ↓ 0   → 2, or type a number, Enter sends it",
        ),
        (spaces.Box(-2.0, 2.0, (3,), np.float32), "type 3 numbers, Enter sends them"),
        (spaces.MultiBinary(4), "type 4 numbers, Enter sends them"),
    ],
)
def test_a_person_is_told_what_to_press(space, hint):
    assert Keyboard(space).hint == hint


@pytest.mark.parametrize(
    ("space", "typed", "said"),
    [
        (spaces.Discrete(52), "52", "no action: a whole number from 0 to 51 is"),
        (spaces.Discrete(52), "1 2", "1 number"),
        (spaces.Discrete(52), "1.5", "no action: a whole number from 0 to 51 is"),
        (spaces.MultiDiscrete([8, 9]), "8 8", "no action: whole numbers in 0 … 7, 0 … 8 are"),
        (spaces.MultiDiscrete([8, 9]), "3", "2 numbers"),
        (spaces.Box(-2.0, 2.0, (1,), np.float32), "--", "1 number"),
        (
            spaces.Box(-2.0, 2.0, (1,), np.float32),
            "3",
            "^3 is no action: a number between −2 and 2 is",
        ),
    ],
)
def test_what_is_no_action_is_refused_and_forgotten(space, typed, said):
    keyboard = Keyboard(space)
    for key in typed:
        keyboard.press(key)
    with pytest.raises(ValueError, match=said):
        keyboard.press("enter")
    assert keyboard.typed == ""
