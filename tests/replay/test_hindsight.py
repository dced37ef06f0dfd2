"""Hindsight: goals come from the same episode, and nothing of the old goal is left to learn.

The tape is a walk on a line; the goal is a place. Everything is checked step by step.
"""

from __future__ import annotations

import pytest
import torch

from memrl.replay.episode_index import EpisodeIndex
from memrl.replay.hindsight import ACHIEVED, DESIRED, relabel
from memrl.replay.sequences import SequenceReplay, Shape

B, T, L, BURN_IN = 2, 60, 9, 2
FOREVER = 7  # a goal that the original episodes were after


def goal_reward(achieved, desired):
    reached = (achieved == desired).all(-1)
    return reached.float(), reached


def make_tape(seed: int):
    """A random walk with episodes of random lengths, some of which reached what they wanted."""
    g = torch.Generator().manual_seed(seed)
    ended = torch.rand(T, B, generator=g) < 0.15
    terminated = ended & (torch.rand(T, B, generator=g) < 0.5)
    start = torch.ones_like(ended)
    start[1:] = ended[:-1]
    place = torch.randint(-2, 3, (T, B, 1), generator=g)
    return {
        "start": start,
        "ended": ended,
        "terminated": terminated,
        ACHIEVED: place,
        DESIRED: torch.full_like(place, FOREVER),
        "reward": terminated.float(),
        "valid": torch.rand(T, B, generator=g) > 0.1,
    }


def draw(tape, strategy, share=1.0, seed=0):
    """Sequences drawn from the tape, as they were and relabelled."""
    step = {name: value[0] for name, value in tape.items() if name != "ended"}
    replay = SequenceReplay(40 * B, Shape(L, 1), step, (), alpha=0.0)
    index = EpisodeIndex(replay.span, B, torch.device("cpu"))
    for t in range(T):
        replay.add({name: tape[name][t] for name in step})
        index.add(tape["start"][t], tape["ended"][t])
    generator = torch.Generator().manual_seed(seed)
    drawn = replay.sample(16, generator, beta=1.0)
    spans = index.spans(drawn.time, drawn.env)
    done = relabel(
        drawn,
        spans,
        replay.steps.arrays[ACHIEVED],
        goal_reward,
        generator,
        strategy=strategy,
        share=share,
        burn_in=BURN_IN,
    )
    return drawn, done


def lists(tensors):
    """Nested lists: a loop over tensors would take minutes."""
    return {name: value.squeeze(-1).tolist() if value.dim() == 3 else value.tolist()
            for name, value in tensors.items()}  # fmt: skip


def episodes(start, m):
    """The steps of sequence m, one list of row numbers for each episode."""
    parts = [[0]]
    for i in range(1, L):
        if start[i][m]:
            parts.append([])
        parts[-1].append(i)
    return parts


def span_in_a_loop(tape, t, b):
    """The first and the last step of an episode that is whole, or None."""
    begin = end = t
    while not tape["start"][begin][b]:
        begin -= 1
    while end < T and not tape["ended"][end][b]:
        end += 1
    return (begin, end) if end < T and begin >= T - 40 else None


def allowed_goals(tape, strategy, span, first_learned, b):
    begin, end = span
    low = {"final": end, "episode": begin, "future": min(first_learned, end)}[strategy]
    return {tape[ACHIEVED][t][b] for t in range(low, end + 1)}


def check_episode(tape, strategy, done, rows, times, m, b):
    """One episode of a sequence, relabelled as a whole, against a walk along it."""
    real = [i for i, t in zip(rows, times, strict=True) if tape["valid"][t][b]]
    goals = {done[DESIRED][i][m] for i in real}
    span = span_in_a_loop(tape, times[0], b)
    if span is None:
        assert goals <= {FOREVER}
        return
    learned = next((t for i, t in zip(rows, times, strict=True) if i >= BURN_IN), T)
    assert len(goals) <= 1
    assert goals <= allowed_goals(tape, strategy, span, learned, b)
    over = False
    for i in real:
        reached = tape[ACHIEVED][times[i - rows[0]]][b] in goals
        assert done["terminated"][i][m] == reached
        assert done["reward"][i][m] == float(reached)
        assert done["valid"][i][m] == (not over)
        over = over or reached


STRATEGIES = ["future", "final", "episode"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seed", range(8))
def test_every_step_is_what_a_loop_over_the_episodes_makes_of_it(seed, strategy):
    tape = make_tape(seed)
    drawn, done = draw(tape, strategy, seed=seed)
    told, made, time = lists(tape), lists(done.steps), drawn.time.tolist()
    for m, b in enumerate(drawn.env.tolist()):
        for rows in episodes(drawn.steps["start"].tolist(), m):
            check_episode(told, strategy, made, rows, [time[i][m] for i in rows], m, b)


def test_without_a_share_nothing_is_changed():
    drawn, done = draw(make_tape(1), "future", share=0.0)
    for name, value in drawn.steps.items():
        assert torch.equal(done.steps[name], value), name
    assert not done.replaced.any()


@pytest.mark.slow
def test_a_share_of_the_episodes_is_relabelled():
    counts = [0, 0]
    for seed in range(30):
        tape = make_tape(seed)
        drawn, done = draw(tape, "final", share=0.3, seed=seed)
        told, time, goal = lists(tape), drawn.time.tolist(), done.steps[DESIRED].tolist()
        for m, b in enumerate(drawn.env.tolist()):
            for rows in episodes(drawn.steps["start"].tolist(), m):
                t = time[rows[0]][m]
                if span_in_a_loop(told, t, b) and told["valid"][t][b]:
                    counts[goal[rows[0]][m] != [FOREVER]] += 1
    assert sum(counts) > 500
    assert counts[1] / sum(counts) == pytest.approx(0.3, abs=0.07)


def test_a_state_that_saw_the_old_goal_is_forgotten():
    drawn, done = draw(make_tape(5), "future")
    changed = done.steps[DESIRED][..., 0] != FOREVER
    inside = ~drawn.steps["start"][0]
    assert (changed[0] & inside).any()
    assert torch.equal(done.replaced, changed)
    assert torch.equal(done.steps["start"][0], drawn.steps["start"][0] | changed[0])
    assert torch.equal(done.steps["start"][1:], drawn.steps["start"][1:])


def test_what_the_replay_holds_is_not_changed():
    tape = make_tape(3)
    drawn, _ = draw(tape, "final")
    for name, value in drawn.steps.items():
        assert torch.equal(value, tape[name][drawn.time, drawn.env]), name
