"""One episode in each environment, seen and changed between two steps."""

from __future__ import annotations

import numpy as np
import torch
from rememberer import Rememberer
from run_fakes import Countdown, WalkAgent

from memrl.envs.make import make
from memrl.evaluation.acting import Acting
from memrl.probing.play import NEVER, play

B = 13


class Walker(WalkAgent):
    """One that a change could reach."""

    def replace_memory(self, state):
        raise NotImplementedError


def recall(**options):
    env = make("probe/Recall-v0", B, cues=3, delay=2, **options)
    return Rememberer(env), env


def test_the_first_episode_of_every_environment_is_played_to_its_end():
    env = Countdown(17)
    played = play(Walker(), env, Acting(3, max_steps=99))
    env.reset(3)
    assert played.length.tolist() == env.length.tolist()
    np.testing.assert_array_equal(played.success, played.length == 2)
    np.testing.assert_array_equal(played.returns, played.length == 2)
    assert played.cut_off == 0


def test_a_row_that_is_reset_later_is_not_counted_twice():
    want, got = (
        play(Walker(), Countdown(7, next_step=next_step), Acting(3, max_steps=99))
        for next_step in (False, True)
    )
    np.testing.assert_array_equal(got.length, want.length)
    np.testing.assert_array_equal(got.returns, want.returns)


def test_an_episode_beyond_the_limit_is_cut_off_and_has_failed():
    played = play(Walker(), Countdown(17), Acting(3, max_steps=5))
    np.testing.assert_array_equal(played.ended, played.length == 2)
    assert set(played.length) == {2, 5}
    assert played.cut_off == (played.length == 5).sum()
    assert played.success[~played.ended].tolist() == [0.0] * played.cut_off


def test_cue_choice_and_when_it_was_seen_are_those_of_the_environment():
    agent, env = recall()
    played = play(agent, env, Acting(5, max_steps=9))
    want = env.reset(5)["obs"].numpy()
    np.testing.assert_array_equal(played.cue, want)
    np.testing.assert_array_equal(played.choice, want)
    assert set(played.first_seen) == set(played.last_seen) == {0}
    assert set(played.success) == {1.0}


def test_without_cues_none_is_seen_or_chosen():
    played = play(Walker(), Countdown(3), Acting(3, max_steps=99))
    assert played.cue is None
    assert played.choice is None
    assert set(played.first_seen) == {NEVER}


def test_a_change_comes_before_every_observation_but_the_first():
    agent, env = recall()
    calls = []

    def change(t, state):
        calls.append((t, state.age.tolist()))
        return state._replace(memory=torch.zeros_like(state.memory))

    played = play(agent, env, Acting(5, max_steps=9), change=change)
    assert calls == [(t, [float(t)] * B) for t in (1, 2, 3)]
    assert set(played.choice) == {0}  # what a zero memory names


def test_who_watches_sees_each_observation_with_the_state_that_has_read_it():
    agent, env = recall()
    seen = []
    watch = lambda t, obs, state, running: seen.append((obs["obs"].clone(), state.age.clone()))  # noqa: E731
    play(agent, env, Acting(5, max_steps=9), watch=[watch])
    assert [int(age[0]) for _, age in seen] == [1, 2, 3, 4]
    assert [int(obs[0]) for obs, _ in seen[1:]] == [3, 3, 4]  # blank, blank, answer now


def test_equal_seeds_play_equal_episodes():
    agent, env = recall()
    one, two, other = (play(agent, env, Acting(seed, max_steps=9)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.cue, two.cue)
    assert (one.cue != other.cue).any()
