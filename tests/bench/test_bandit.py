"""Players of bandits: plain loops choose the same, and a run is compared on its own tasks."""

from __future__ import annotations

import math

import numpy as np
import pytest

import memrl
from memrl.bench.bandit import arms_of, at_random, bench_bandit, thompson, ucb1
from memrl.bench.gittins import LEVELS, Gittins, gittins_indices


def test_ucb1_is_the_loop_of_its_definition():
    rng = np.random.default_rng(3)
    pulls = rng.integers(0, 5, (17, 3))
    wins = rng.integers(0, pulls + 1)
    chosen = ucb1(wins, pulls, 1, rng)
    for row, arm in enumerate(chosen):
        bounds = []
        for n, won in zip(pulls[row], wins[row], strict=True):
            total = sum(pulls[row])
            bounds.append(math.inf if n == 0 else won / n + math.sqrt(2 * math.log(total) / n))
        assert arm == bounds.index(max(bounds))


def test_thompson_sampling_pulls_each_arm_as_often_as_it_is_the_best():
    wins, pulls = np.tile([3, 0], (20_000, 1)), np.tile([3, 0], (20_000, 1))
    # P(Beta(4, 1) > uniform) is the mean of Beta(4, 1).
    share = (thompson(wins, pulls, 1, np.random.default_rng(1)) == 0).mean()
    assert share == pytest.approx(4 / 5, abs=0.01)


def test_a_player_counts_the_arms_of_every_context_for_itself():
    chance = np.array([[[0.0, 1.0], [1.0, 0.0]]] * 5)  # arm 1 in context 0, arm 0 in context 1
    contexts = np.arange(40)[:, None] % 2 * np.ones(5, dtype=int)
    arms = arms_of(ucb1, chance, contexts, np.random.default_rng(0))
    right = arms == 1 - contexts
    assert (
        right[4:].mean()
        > 0.7
        > arms_of(at_random, chance, contexts, np.random.default_rng(0)).mean()
    )
    assert (arms[:2] == 0).all()
    assert (arms[2:4] == 1).all()


def earned(wins: int, pulls: int, left: int, sure: float) -> float:
    """The most that ``left`` pulls earn, of an arm of this record or of a sure chance."""
    if left == 0:
        return 0.0
    p = (1 + wins) / (2 + pulls)
    won, lost = (earned(wins + won, pulls + 1, left - 1, sure) for won in (1, 0))
    return max(sure * left, p * (1 + won) + (1 - p) * lost)


@pytest.mark.parametrize(("wins", "pulls", "left"), [(0, 0, 1), (0, 0, 5), (2, 3, 4), (0, 2, 5)])
def test_the_gittins_index_is_what_a_plain_recursion_prefers_the_arm_to(wins, pulls, left):
    index = gittins_indices(7)[left, pulls, wins]
    better = [
        earned(wins, pulls, left, sure) > sure * left + 1e-12
        for sure in (np.arange(LEVELS) + 0.5) / LEVELS
    ]
    assert index == sum(better) / LEVELS
    assert better == sorted(better, reverse=True)


def test_an_arm_that_was_never_pulled_is_worth_more_the_more_pulls_are_left():
    index = gittins_indices(31)[1:, 0, 0]
    assert index[0] == 0.5
    assert (np.diff(index) >= 0).all()
    assert index[-1] > 0.7


def test_gittins_loses_less_than_thompson_sampling():
    rng = np.random.default_rng(5)
    chance, contexts = rng.random((2_003, 1, 5)), np.zeros((41, 2_003), dtype=int)

    def regret(choose):
        arms = arms_of(choose, chance, contexts, np.random.default_rng(7))
        return (chance.max(2).T - chance[:, 0][np.arange(2_003), arms]).sum(0).mean()

    assert regret(Gittins(41)) < 0.8 * regret(thompson)


@pytest.mark.slow
def test_a_run_is_compared_on_the_tasks_that_it_plays(tmp_path):
    words = ["+run=smoke", "env=probe/Bandit-v0", "env.trial=7", "track=off", "run.pictures=false"]
    run = memrl.train(memrl.compose(words), tmp_path / "run", style="quiet", say=lambda _: None)
    rows = bench_bandit(str(run.path), trials=211)
    assert list(rows) == ["gru", "Gittins", "Thompson", "UCB1", "random"]
    for row in rows.values():
        assert row["regret"] + row["earned"] == pytest.approx(
            rows["random"]["regret"] + rows["random"]["earned"]
        )
    assert rows["Thompson"]["regret"] < rows["random"]["regret"]
    other = memrl.train(
        memrl.compose(["+run=smoke", "track=off", "run.pictures=false"]),
        tmp_path / "other",
        style="quiet",
        say=lambda _: None,
    )
    with pytest.raises(ValueError, match=r"on probe/Recall-v0 with env.trial=None, allowed"):
        bench_bandit(str(other.path))
