"""curves.png: scores over env steps, by task and over all tasks."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_benchmark import STEPS, leave, tiny

from memrl.benchmark.curves import draw_curves, over_all_tasks, read_curves
from memrl.benchmark.plan import cells
from memrl.evaluation.learning_curve import read_curve

__all__ = ["tiny"]  # a fixture


@pytest.fixture
def left(tiny, tmp_path):
    """Four runs a task; successes by memory and seed."""
    for cell in cells(tiny):
        high = 0.25 if cell.memory == "none" else 0.5 + cell.seed / 10
        words = [*tiny.words, *tiny.tasks[cell.task].words, f"memory={cell.memory}"]
        leave(cell.path(tmp_path), words, [0.25, (0.25 + high) / 2, high])
    return read_curves(tiny, cells(tiny), tmp_path)


def test_a_curve_is_the_score_of_its_task(left):
    (three, five) = left["short", "gru", "default"]
    np.testing.assert_array_equal(three.experience, STEPS)
    np.testing.assert_allclose(three.score, [0.25, 0.525, 0.8])
    np.testing.assert_allclose(five.score, [0.25, 0.625, 1.0])


def test_a_measure_is_read_if_it_is_asked_for(tiny, tmp_path):
    leave(tmp_path / "run", [*tiny.words, "memory=none"], [0.1, 0.2, 0.3])
    assert read_curve(tmp_path / "run" / "metrics.csv").measure == "success"
    assert read_curve(tmp_path / "run" / "metrics.csv", "return").measure == "return"


def test_over_all_tasks_it_is_the_middle_half_of_normalised_runs(tiny, left):
    of = {task: left[task, "gru", "default"] for task in tiny.tasks}
    share, centre, low, high = over_all_tasks(tiny, of)
    assert (share[0], share[-1]) == (64 / 256, 1.0)
    last = sorted([(0.8 - 0.25) / 0.75, 1.0, (0.8 - 0.2) / 0.8, 1.0])
    assert centre[-1] == pytest.approx(np.mean(last[1:3]))
    assert centre[0] == pytest.approx(np.mean(sorted([0, 0, 0.05 / 0.8, 0.05 / 0.8])[1:3]))
    assert (low <= centre).all()
    assert (high >= centre).all()
    at = np.searchsorted(share, 0.5)
    known = [
        (np.interp(share[at] * 256, STEPS, curve.score) - tiny.tasks[task].low)
        / (1 - tiny.tasks[task].low)
        for task, curves in of.items()
        for curve in curves
    ]
    assert centre[at] == pytest.approx(np.mean(sorted(known)[1:3]))


def test_the_picture_has_a_panel_a_task_and_one_over_all(tiny, left, tmp_path):
    picture = draw_curves(tiny, left, "default", tmp_path / "curves.png")
    titles = [axes.get_title(loc="left") for axes in picture.axes]
    assert [title for title in titles if title] == ["all 2 tasks", "short", "long"]
    short = picture.axes[1]
    assert (short.get_xlabel(), short.get_ylabel()) == ("env steps", "success (share)")
    assert [line.get_label() for line in short.lines] == [
        "none", "gru", "without a memory", "optimum",
    ]  # fmt: skip
    levels = [float(line.get_ydata()[0]) for line in short.lines[2:]]
    assert levels == [0.25, 1.0]
    (legend,) = picture.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "none", "gru", "without a memory", "optimum",
    ]  # fmt: skip
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_one_seed_is_a_line_without_a_band(tiny, left, tmp_path):
    some = {key: curves[:1] for key, curves in left.items()}
    picture = draw_curves(tiny, some, "default", tmp_path / "curves.png")
    assert all(not axes.collections for axes in picture.axes)


def test_a_memory_that_lacks_a_task_is_not_among_all_tasks(tiny, left, tmp_path):
    some = {key: curves for key, curves in left.items() if key[:2] != ("long", "gru")}
    picture = draw_curves(tiny, some, "default", tmp_path / "curves.png")
    assert [line.get_label() for line in picture.axes[0].lines][:1] == ["none"]
    assert "gru" not in [line.get_label() for line in picture.axes[0].lines]


def test_there_is_no_panel_over_all_tasks_if_no_memory_has_them_all(tiny, left, tmp_path):
    some = {key: curves for key, curves in left.items() if key[0] == "short"}
    picture = draw_curves(tiny, some, "default", tmp_path / "curves.png")
    assert [axes.get_title(loc="left") for axes in picture.axes if axes.axison] == ["short"]
