"""Panels are chosen by the names and shapes of what was recorded."""

from __future__ import annotations

import numpy as np
import pytest

from memrl.inspector.model import Episode
from memrl.inspector.panels import choose_panels


def episode(**arrays):
    length = len(next(iter(arrays.values())))
    return Episode(arrays, {}, {}, None, None, ended=True, length=length)


def draw(*shape):
    return np.random.default_rng(3).random(shape)


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("value", (5,), "line"),
        ("read_entropy", (5, 1), "line"),
        ("probabilities", (5, 3), "bars"),
        ("probabilities", (5, 13), "map"),
        ("usage", (5, 7), "map"),
        ("read_weights", (5, 2, 7), "map"),
        ("memory", (5, 7, 3), "matrix"),
        ("sources", (5, 5), "sources"),
    ],
)
def test_the_shape_of_an_array_chooses_its_panel(name, shape, kind):
    (panel,) = choose_panels([episode(**{name: draw(*shape)})])
    assert panel.kind == kind


def test_links_are_a_matrix_and_a_graph():
    panels = choose_panels([episode(link=draw(5, 7, 7))])
    assert [panel.kind for panel in panels] == ["matrix", "graph"]


def test_colours_are_symmetric_where_numbers_have_signs():
    signed, shares = draw(5, 7) - 0.9, draw(5, 7)
    hidden, usage = choose_panels([episode(hidden=signed, usage=shares)])
    assert -hidden.low == hidden.high == np.abs(signed).max()
    assert (usage.low, usage.high) == (0.0, shares.max())


def test_colours_are_the_same_in_all_episodes_of_a_run():
    (panel,) = choose_panels([episode(usage=draw(5, 7)), episode(usage=3 * draw(2, 7))])
    assert panel.high > 1


def test_units_that_move_together_stand_side_by_side():
    t = np.arange(23.0)
    courses = np.stack([np.sin(t), np.cos(t), np.sin(t) * 2, np.cos(t) * 3], axis=1)
    (panel,) = choose_panels([episode(hidden=courses)])
    assert {frozenset(panel.order[:2]), frozenset(panel.order[2:])} == {
        frozenset({0, 2}),
        frozenset({1, 3}),
    }


def test_slots_stay_in_their_order():
    (panel,) = choose_panels([episode(read_weights=draw(5, 7))])
    assert (panel.rows, panel.order) == ("slot", [])


def test_actions_have_their_names():
    (panel,) = choose_panels([episode(probabilities=draw(5, 2))], actions=["left", "right"])
    assert panel.names == ("left", "right")


def test_what_was_seen_comes_first_and_the_memory_last():
    arrays = {"hidden": draw(5, 7), "value": draw(5), "image": draw(5, 4)}
    panels = choose_panels([episode(**arrays)], seen=["image"])
    assert [panel.group for panel in panels] == ["Seen", "Decision", "Memory"]


def test_numbers_that_are_not_finite_do_not_set_the_scale():
    (panel,) = choose_panels([episode(surprise=np.array([0.5, np.nan, -0.25]))])
    assert panel.high == 0.5
