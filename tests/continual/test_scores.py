"""Forgetting and transfer as their definitions say."""

from __future__ import annotations

import numpy as np
import pytest

from memrl.continual.scores import area, transfer

SCORES = np.array([[0.9, 0.1, 0.2], [0.4, 0.8, 0.3], [0.5, 0.6, 1.0]])  # [after task i, of task j]


def test_forgetting_is_what_tasks_lose_from_their_own_end_to_the_end():
    lost = [SCORES[j, j] - SCORES[2, j] for j in range(3)]
    found = transfer(SCORES)
    assert found.forgetting == pytest.approx(sum(lost) / 3)  # 0.4, 0.2 and 0
    assert found.backward == pytest.approx(-(lost[0] + lost[1]) / 2)
    assert found.average == pytest.approx((0.5 + 0.6 + 1.0) / 3)
    assert found.forward is None


def test_what_neither_gains_nor_loses_is_zero_without_a_sign():
    found = transfer(np.array([[0.5, 0.0], [0.5, 0.6]]))
    assert (f"{found.forgetting:.3f}", f"{found.backward:.3f}") == ("0.000", "0.000")


def test_a_task_that_gains_forgets_less_than_nothing():
    found = transfer(np.array([[0.5, 0.0], [0.7, 0.6]]))
    assert (found.forgetting, found.backward) == (pytest.approx(-0.1), pytest.approx(0.2))


def test_forward_transfer_is_the_share_of_what_was_left_to_gain():
    found = transfer(SCORES, [0.3, 0.6, 0.5], [0.3, 0.2, 0.75])
    assert found.forward == pytest.approx(((0.6 - 0.2) / 0.8 + (0.5 - 0.75) / 0.25) / 2)


def test_a_task_that_is_perfect_alone_leaves_nothing_to_gain():
    assert transfer(SCORES, [0.3, 0.6, 0.5], [0.3, 1.0, 1.0]).forward is None


def test_one_task_has_nothing_to_forget():
    assert transfer(np.array([[0.7]])) == (0.7, 0.0, 0.0, None)


def test_an_area_counts_each_row_as_its_env_steps():
    steps, score = np.array([10.0, 30.0, 35.0]), np.array([0.1, 0.4, 1.0])
    assert area(steps, score) == pytest.approx((10 * 0.1 + 20 * 0.4 + 5 * 1.0) / 35)
