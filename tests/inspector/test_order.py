"""Units stand by what the cue explains of them, where episodes tell which cue they have."""

from __future__ import annotations

import numpy as np
import pytest

from memrl.inspector.model import Episode
from memrl.inspector.order import FEWEST_EPISODES, explained_by_cue
from memrl.inspector.panels import choose_panels


def episodes(lengths, cues, units, *, seen=1):
    draws = np.random.default_rng(3)
    made = []
    for length, cue in zip(lengths, cues, strict=True):
        arrays = {"hidden": np.stack([units(cue, t, draws) for t in range(length)])}
        made.append(Episode(arrays, {}, {}, seen, None, ended=True, length=length, cue=cue))
    return made


def three_units(cue, t, draws):
    """Noise; the cue itself; half of each. Before step 2 all is noise."""
    noise = draws.normal(size=3)
    return noise if t < 2 else np.array([noise[0], cue, 2 * cue - 1 + noise[2]])


CUES = [0, 1] * 17
LENGTHS = [5, 7, 11] * 11 + [5]


def test_the_unit_that_is_the_cue_is_the_first():
    found = explained_by_cue(episodes(LENGTHS, CUES, three_units), "hidden")
    assert found.order == [1, 2, 0]
    assert found.shares[1] == pytest.approx(1)
    assert 0.4 < found.shares[2] < 0.6
    assert found.shares[0] < 0.1


def test_the_share_is_that_of_plain_loops():
    made = episodes(LENGTHS, CUES, three_units)
    between, values = np.zeros(3), []
    for t in range(2, 7):  # more than half last 7 steps, fewer 11
        rows = [(each.arrays["hidden"][t], each.cue) for each in made if each.length > t]
        mean = sum(row for row, _ in rows) / len(rows)
        for cue in (0, 1):
            own = [row for row, its in rows if its == cue]
            between += len(own) * (sum(own) / len(own) - mean) ** 2
        values += [row for row, _ in rows]
    mean = sum(values) / len(values)
    total = sum((row - mean) ** 2 for row in values)
    np.testing.assert_allclose(explained_by_cue(made, "hidden").shares, between / total)


def test_what_a_unit_does_in_all_episodes_alike_is_not_explained():
    def clock(cue, t, draws):
        return np.array([cue, cue + t, t], dtype=np.float64)

    shares = explained_by_cue(episodes([6] * 34, CUES, clock), "hidden").shares
    time = np.arange(2, 6).var()
    np.testing.assert_allclose(shares, [1, 0.25 / (0.25 + time), 0], atol=1e-12)


def test_chance_explains_what_it_is_said_to():
    def noise(cue, t, draws):
        return draws.normal(size=997)

    found = explained_by_cue(episodes([3] * 13, [0, 1, 2] * 4 + [0], noise), "hidden")
    assert found.chance == pytest.approx(2 / 12)
    assert found.shares.mean() == pytest.approx(found.chance, rel=0.05)


def test_a_unit_that_never_moves_is_explained_by_nothing():
    still = explained_by_cue(episodes(LENGTHS, CUES, lambda *_: np.ones(3)), "hidden")
    assert still.shares.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("lengths", "cues"),
    [
        ([5] * (FEWEST_EPISODES - 1), [0, 1] * 4 + [0]),  # few episodes
        ([5] * 17, [1] * 17),  # one cue
        ([2] * 17, [0, 1] * 8 + [0]),  # nothing after the cue
        ([5] * 17, [None] * 17),  # nobody knows
    ],
)
def test_where_nothing_can_be_said_nothing_is(lengths, cues):
    def units(cue, t, draws):
        return draws.normal(size=3)

    made = episodes(lengths, cues, units)
    assert explained_by_cue(made, "hidden") is None
    (panel,) = choose_panels(made)
    assert panel.by_cue == ()


def test_units_have_both_orders_and_slots_have_none():
    made = episodes(LENGTHS, CUES, three_units)
    for each in made:
        each.arrays["usage"] = each.arrays["hidden"]
    hidden, usage = choose_panels(made)
    assert sorted(hidden.order) == sorted(hidden.by_cue) == [0, 1, 2]
    assert hidden.of_cue[1] == 1
    assert usage.by_cue == ()
