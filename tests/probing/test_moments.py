"""When an episode is changed, and with whom it is paired."""

from __future__ import annotations

import numpy as np
import pytest

from memrl.probing.moments import donors, moments, moments_at
from memrl.probing.play import NEVER, Played


def played(length, first, last, cue):
    one = np.ones(len(length))
    return Played(
        success=one,
        returns=one,
        length=np.array(length),
        ended=one.astype(bool),
        cue=None if cue is None else np.array(cue),
        choice=np.zeros(len(length), dtype=np.int64),
        first_seen=np.array(first),
        last_seen=np.array(last),
    )


# Row 0 has the cue in view at steps 0 … 2, row 1 at 4, row 2 never, row 3 to its end.
ROWS = played([10, 6, 7, 3], [0, 4, NEVER, 0], [2, 4, NEVER, 2], [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("share", "want"), [(0.0, [3, 5, -1, -1]), (0.5, [6, 5, -1, -1]), (1.0, [9, 5, -1, -1])]
)
def test_a_moment_lies_between_the_cue_and_the_last_step(share, want):
    assert moments(ROWS, share).tolist() == want


def test_without_cues_the_way_begins_at_step_1():
    assert moments(ROWS._replace(cue=None, last_seen=np.full(4, NEVER)), 0.0).tolist() == [1] * 4


def test_a_step_is_the_moment_of_all_episodes_that_have_it():
    seen = ROWS._replace(cue=None)
    assert moments_at(seen, 6).tolist() == [6, -1, 6, -1]
    assert moments_at(seen, 9).tolist() == [9, -1, -1, -1]


def test_a_step_is_the_moment_only_after_the_cue_was_seen():
    assert moments_at(ROWS, 1).tolist() == [1, -1, -1, 1]
    assert moments_at(ROWS, 5).tolist() == [5, 5, -1, -1]


@pytest.mark.parametrize("step", [0, 10])
def test_a_step_that_no_episode_has_is_refused(step):
    with pytest.raises(ValueError, match=rf"step={step}: the longest of 4 .*allowed: 1 to 9"):
        moments_at(ROWS, step)


@pytest.mark.parametrize("same", [False, True])
def test_a_donor_is_another_of_the_rows_with_a_cue_that_differs_or_not(same):
    drawn = np.random.default_rng(3)
    cue, rows = drawn.integers(3, size=47), drawn.random(47) < 0.7
    donor = donors(cue, rows, 5, same=same)
    assert (donor[~rows] == NEVER).all()
    chosen = donor[rows]
    assert (chosen != np.flatnonzero(rows)).all()
    assert rows[chosen].all()
    assert ((cue[chosen] == cue[rows]) == same).all()
    assert donor.tolist() == donors(cue, rows, 5, same=same).tolist()
    assert donor.tolist() != donors(cue, rows, 6, same=same).tolist()


def test_a_row_without_partner_has_no_donor():
    assert donors(np.array([0, 1, 1]), np.ones(3, bool), 5, same=True)[0] == NEVER
    assert (donors(np.zeros(3, int), np.ones(3, bool), 5, same=False) == NEVER).all()
