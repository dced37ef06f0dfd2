"""Runs are grouped by what they share, and intervals stay inside what is possible."""

from __future__ import annotations

import numpy as np
import pytest
from compared_runs import compared_run as run

from memrl.errors import RunError
from memrl.evaluation.compare import group_runs, return_bounds
from memrl.plots.comparison import band


def test_seeds_of_one_memory_are_averaged_with_students_interval():
    groups = group_runs([run("dnc", 0, 0.5), run("lstm", 0, 0.5), run("dnc", 1, 0.51)])
    assert [(g.memory, g.seeds) for g in groups] == [("dnc", [0, 1]), ("lstm", [0])]
    reach = 12.7062047 * 0.005
    success = groups[0].scores["success"]
    assert success.mean == pytest.approx(0.505)
    assert success.high == pytest.approx(0.505 + reach)
    grid, centre, low, _high = band(groups[0].curves)
    assert (grid[0], grid[-1]) == (100.0, 900.0)
    np.testing.assert_allclose(centre, 0.505)
    np.testing.assert_allclose(low, 0.505 - reach)
    assert groups[0].as_dict()["return"]["mean"] == pytest.approx(1.01)


def test_a_share_has_no_interval_outside_of_0_and_1():
    group = group_runs([run("dnc", seed, score) for seed, score in ((0, 0.5), (1, 1.0))])[0]
    assert (group.scores["success"].low, group.scores["success"].high) == (0.0, 1.0)
    _, _, low, high = band(group.curves, group.bounds)
    assert (low.min(), high.max()) == (0.0, 1.0)


def returned(memory, seed, score, episodes=60):
    seen = (10.0, 500.0)
    return run(memory, seed, score, measure="return", episodes=episodes, returns=seen)


def test_a_return_has_no_interval_above_the_greatest_that_was_seen():
    group, other = group_runs(
        [returned("dnc", 0, 500.0), returned("dnc", 1, 480.0), returned("gru", 0, 9.0)]
    )
    assert group.scores["return"].high == 500.0
    assert group.scores["return"].mean - group.scores["return"].low > 100.0
    assert group.bounds == other.bounds == (9.0, 500.0)  # 9: a mean in training counts too


def test_the_extremes_of_few_episodes_bound_nothing():
    few = [returned("dnc", seed, 500.0 - seed, episodes=40) for seed in range(2)]
    assert return_bounds(few) == (-np.inf, np.inf)
    assert group_runs(few)[0].scores["return"].high > 500.0


def test_a_line_ends_where_its_shortest_run_ends():
    grid, *_ = band([run("dnc", 0, 0.5).curve, run("dnc", 1, 0.5, last=400.0).curve])
    assert grid[-1] == 400.0


def test_the_same_seed_twice_is_not_two_seeds():
    with pytest.raises(RunError, match=r"runs/dnc-0 and runs/dnc-0 .* the same seed 0"):
        group_runs([run("dnc", 0, 0.5), run("dnc", 0, 0.6)])
    with pytest.raises(RunError, match="one run or more"):
        group_runs([])


def test_runs_of_two_commands_are_not_compared():
    with pytest.raises(RunError, match="1 of these runs are of memrl train and 1 of memrl fit"):
        group_runs([run("dnc", 0, 0.5), run("dnc", 0, 0.5, measure="accuracy")])
