from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from run_fakes import Countdown, WalkAgent

from memrl.evaluation.evaluate import evaluate


def oracle(env, share, seed):
    """The first ``share[b]`` episodes of every copy, in plain loops."""
    obs = env.reset(seed)
    results = [[] for _ in share]
    running = [[0.0, 0] for _ in share]
    while any(len(r) < n for r, n in zip(results, share, strict=True)):
        step = env.step(torch.zeros(len(obs["obs"]), dtype=torch.int64))
        for b, n in enumerate(share):
            if step.valid is not None and not step.valid[b]:
                continue
            running[b][0] += float(step.reward[b])
            running[b][1] += 1
            if step.ended[b]:
                if len(results[b]) < n:
                    results[b].append((*running[b], float(step.metrics["success"][b])))
                running[b] = [0.0, 0]
    return np.array([episode for copy in results for episode in copy])


@pytest.mark.parametrize("next_step", [False, True])
def test_every_copy_plays_its_share(next_step):
    evaluation = evaluate(WalkAgent(), Countdown(5, next_step=next_step), episodes=13, seed=3)
    want = oracle(Countdown(5, next_step=next_step), [3, 3, 3, 2, 2], seed=3)
    got = [evaluation.per_episode[name] for name in ("return", "length", "success")]
    np.testing.assert_array_equal(np.stack(got, axis=1), want)
    assert evaluation.episodes == 13
    assert evaluation.success.mean == pytest.approx(want[:, 2].mean())
    assert evaluation.length.mean == pytest.approx(want[:, 1].mean())


def test_short_episodes_are_not_counted_more_often_than_they_happen():
    # Half of the episodes last 2 steps, half 11. The first 499 to finish are short in 73 % of the
    # cases; 0.5 ± 0.1 is more than four standard errors wide.
    evaluation = evaluate(WalkAgent(), Countdown(499), episodes=499, seed=1)
    assert abs(evaluation.success.mean - 0.5) < 0.1


def test_more_copies_than_episodes_are_ignored():
    evaluation = evaluate(WalkAgent(), Countdown(7), episodes=3, seed=0)
    assert len(evaluation.per_episode["return"]) == 3
    assert evaluation.success.samples == 3


def test_the_agent_is_told_where_episodes_start():
    agent = WalkAgent()
    evaluate(agent, Countdown(1), episodes=3, seed=5)
    lengths = oracle(Countdown(1), [3], seed=5)[:, 1].astype(int)
    starts = [int(start) for start in agent.starts]
    want = [int(t == 0) for length in lengths for t in range(length)]
    assert starts == want


def test_after_a_reset_row_the_agent_starts_anew():
    agent = WalkAgent()
    evaluate(agent, Countdown(1, next_step=True), episodes=2, seed=5)
    first = int(oracle(Countdown(1, next_step=True), [1], seed=5)[0, 1])
    assert bool(agent.starts[first + 1])


def test_the_same_seed_gives_the_same_evaluation():
    a, b, c = (evaluate(WalkAgent(), Countdown(5), 11, seed).per_episode for seed in (3, 3, 4))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["length"], c["length"])


def test_a_task_without_success_has_none():
    env = Countdown(3)
    env.metric_names = ()
    evaluation = evaluate(WalkAgent(), env, episodes=3, seed=0)
    assert evaluation.success is None
    assert evaluation.as_dict()["success"] is None
    assert math.isfinite(evaluation.return_.mean)


def test_cue_seen_is_a_rate():
    # Countdown shows its cue at step 3: in the long episodes only.
    evaluation = evaluate(WalkAgent(), Countdown(3), episodes=17, seed=0)
    assert evaluation.cue_seen.mean == pytest.approx(1 - evaluation.success.mean)


def test_mistakes_are_refused_before_anything_is_played():
    with pytest.raises(ValueError, match="not 0"):
        evaluate(WalkAgent(), Countdown(3), episodes=0, seed=0)
    with pytest.raises(ValueError, match="has no reads"):
        evaluate(WalkAgent(), Countdown(3), episodes=1, seed=0, ablate="reads")


@pytest.mark.parametrize("next_step", [False, True])
def test_an_episode_that_goes_on_is_cut_off_and_counted_as_far_as_it_went(next_step):
    # Episodes of Countdown last 2 or 11 steps: the long ones are cut off after 5.
    result = evaluate(
        WalkAgent(), Countdown(7, next_step=next_step), episodes=50, seed=3, max_steps=5
    )
    length, success = result.per_episode["length"], result.per_episode["success"]
    cut = length == 5
    assert set(length) == {2, 5}
    assert result.cut_off == cut.sum() == np.isnan(success).sum()
    assert result.episodes == len(length) < 50
    assert result.success.mean == 1  # of the episodes that ended


def test_a_limit_that_no_episode_reaches_changes_nothing():
    plain, limited = (
        evaluate(WalkAgent(), Countdown(5), 11, 3, max_steps=most) for most in (1000, 11)
    )
    assert plain.cut_off == limited.cut_off == 0
    assert plain.as_dict() == limited.as_dict()


def test_a_cut_off_episode_has_its_length_where_the_environment_reports_one_too():
    """MiniGrid's own is of ended episodes."""

    class Told(Countdown):
        metric_names = (*Countdown.metric_names, "length")

        def step(self, action):
            step = super().step(action)
            return step._replace(metrics={**step.metrics, "length": torch.full((5,), 99.0)})

    result = evaluate(WalkAgent(), Told(5), episodes=5, seed=3, max_steps=1)
    assert result.per_episode["length"].tolist() == [1.0] * 5
