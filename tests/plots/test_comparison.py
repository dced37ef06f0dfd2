"""compare.png: lines, bands, names and what its legend says of them."""

from __future__ import annotations

import numpy as np
import pytest
from compared_runs import compared_run as run

from memrl.evaluation.compare import group_runs
from memrl.plots.comparison import draw_comparison


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_comparison_names_memories_seeds_and_the_band(tmp_path):
    runs = [run("dnc", seed, 0.5 + seed / 10) for seed in range(3)]
    runs += [run("lstm", 0, 0.5), run("lstm", 0, 1.0, task="B")]
    levels = {"Maze": {"no memory": 0.5}}
    figure = draw_comparison(group_runs(runs), tmp_path / "c.png", references=levels)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Maze", "B"]
    assert labels(figure.axes[0]) == ["dnc (3 seeds)", "lstm (1 seed)", "no memory, 50 %"]
    title = figure.axes[0].get_legend().get_title().get_text()
    assert "band: 95 % t-interval" in title
    assert "thin: one line a seed" in title
    assert labels(figure.axes[1]) == ["lstm (1 seed)"]  # the levels of Maze are none of B's
    assert "band" not in figure.axes[1].get_legend().get_title().get_text()
    assert len(figure.axes[0].collections) == 1  # a band for three seeds, none for one
    colours = [
        next(line.get_color() for line in axes.lines if line.get_label().startswith("lstm"))
        for axes in figure.axes
    ]
    assert colours[0] == colours[1]  # a memory keeps its colour from panel to panel


def test_two_seeds_are_two_thin_lines_of_one_colour(tmp_path):
    groups = group_runs([run("dnc", 0, 0.5), run("dnc", 1, 0.7)])
    (axes,) = draw_comparison(groups, tmp_path / "c.png").axes
    assert len(axes.collections) == 0
    assert [set(line.get_ydata()) for line in axes.lines] == [{0.5}, {0.7}]
    assert len({line.get_color() for line in axes.lines}) == 1
    assert all(line.get_linewidth() < 2 for line in axes.lines)
    assert labels(axes) == ["dnc (2 seeds)"]


def test_a_band_of_returns_ends_at_the_greatest_that_was_seen(tmp_path):
    runs = [
        run("dnc", seed, score, measure="return", episodes=50, returns=(0.0, 500.0))
        for seed, score in enumerate((500.0, 500.0, 350.0))
    ]
    (axes,) = draw_comparison(group_runs(runs), tmp_path / "c.png").axes
    assert axes.collections[0].get_paths()[0].get_extents().ymax == 500.0


@pytest.mark.parametrize(("count", "faint"), [(6.0, True), (7.0, False)])
def test_a_comparison_is_faint_where_all_seeds_together_ended_few_episodes(tmp_path, count, faint):
    def with_few(run):
        episodes = np.where(run.curve.experience < 500, count, 50.0)
        return run._replace(curve=run.curve._replace(episodes=episodes))

    runs = [with_few(run("dnc", seed, 0.5)) for seed in range(3)]
    *_, solid = draw_comparison(group_runs(runs), tmp_path / "c.png").axes[0].lines
    missing = (solid.get_xdata() < 500) & faint
    assert np.isnan(solid.get_ydata()).tolist() == missing.tolist()


@pytest.mark.parametrize(("last", "marker"), [(100.0, "o"), (200.0, "None")])
def test_a_comparison_of_single_points_has_markers(tmp_path, last, marker):
    figure = draw_comparison(group_runs([run("dnc", 0, 0.5, last=last)]), tmp_path / "c.png")
    assert figure.axes[0].lines[0].get_marker() == marker


def test_supervised_runs_are_drawn_by_their_accuracy_over_sequences(tmp_path):
    runs = [run("dnc", 0, 0.5, measure="accuracy", task="copy")]
    (axes,) = draw_comparison(group_runs(runs), tmp_path / "c.png").axes
    assert axes.get_xlabel() == "sequences"
    assert axes.get_ylabel() == "accuracy (% of answers or bits)"
