"""Environments tell experiments which cue an episode has, and which one an action chooses."""

from __future__ import annotations

import pytest
import torch

from memrl.envs.make import make

TASKS = [
    ("probe/TMaze-v0", {"length": 2}),
    ("probe/PassiveTMaze-v0", {"length": 2}),
    ("probe/Recall-v0", {"cues": 3, "delay": 1}),
    ("probe/DelayedMatch-v0", {"cues": 2, "delay": 1}),
    ("MiniGrid-MemoryS7-v0", {}),
]


def stepped(env, steps, seed=3):
    """Cue, choice and transition of random steps."""
    generator = torch.Generator().manual_seed(seed)
    env.reset(seed)
    for _ in range(steps):
        action = torch.randint(env.action_space.n, (env.num_envs,), generator=generator)
        cue, choice = env.cue(), env.choice(action)
        yield cue, choice, env.step(action)


@pytest.mark.parametrize(("id", "options"), TASKS)
def test_an_episode_is_a_success_exactly_if_it_ends_with_its_cue(id, options):
    ended = successes = 0
    for cue, choice, step in stepped(make(id, 61, **options), 97):
        over = step.ended
        torch.testing.assert_close(
            step.metrics["success"][over], (choice == cue.identity)[over].float()
        )
        assert bool(((choice >= 0) <= step.terminated).all())  # only what ends an episode chooses
        ended += int(over.sum())
        successes += int(step.metrics["success"][over].sum())
    assert 0 < successes < ended


def test_the_last_card_that_is_named_is_the_choice_of_repeat_first():
    ended = 0
    for cue, choice, step in stepped(make("popgym-RepeatFirstEasy-v0", 31), 103):
        right = choice == cue.identity
        assert right[step.ended].equal(step.reward[step.ended] > 0)
        assert choice[~step.ended].eq(-1).all()
        ended += int(step.ended.sum())
    assert ended == 62


def test_of_many_samples_different_tells_none():
    env = make("probe/DelayedMatch-v0", 7, cues=3)
    env.reset(5)
    assert env.cue().identity.max() == 2
    assert env.choice(torch.zeros(7, dtype=torch.int64)) is None


@pytest.mark.parametrize(("id", "options"), TASKS)
def test_the_cue_stays_the_same_for_an_episode_and_there_are_several(id, options):
    before, over, seen = None, None, set()
    for cue, _, step in stepped(make(id, 61, **options), 23):
        if before is not None:
            assert bool((cue.identity == before)[~over].all())
        before, over = cue.identity, step.ended
        seen |= {*cue.identity.tolist()}
    assert len(seen) == options.get("cues", 2)


@pytest.mark.parametrize(
    ("id", "shown"),
    [
        ("probe/TMaze-v0", lambda obs: obs["obs"]),
        ("probe/Recall-v0", lambda obs: obs["obs"]),
        ("probe/DelayedMatch-v0", lambda obs: obs["obs"]),
        ("popgym-RepeatFirstEasy-v0", lambda obs: obs["obs"]),
        ("probe/PassiveTMaze-v0", lambda obs: (obs["obs"][:, 1].long() + 1) // 2),
    ],
)
def test_a_visible_cue_is_what_the_observation_shows(id, shown):
    env = make(id, 31, prev_action=True)  # the wrapper tells what its environment tells
    obs = env.reset(5)
    assert bool(env.cue().visible.all())
    torch.testing.assert_close(shown(obs), env.cue().identity)
    env.step(torch.zeros(31, dtype=torch.int64))
    assert not bool(env.cue().visible.any())


def test_the_cue_of_minigrid_was_seen_once_it_was_visible():
    env, steps, seen = make("MiniGrid-MemoryS13-v0", 41), 0, None
    for cue, _, step in stepped(env, 29):
        seen = cue.visible if seen is None else seen | cue.visible
        goes_on, now = ~step.ended, seen | env.cue().visible
        assert now[goes_on].equal(step.metrics["cue_seen"][goes_on] > 0)
        seen, steps = seen & goes_on, steps + int(goes_on.sum())
    assert steps > 900


def test_a_lone_object_beside_the_agent_is_the_cue_of_minigrid():
    env, names = make("MiniGrid-MemoryS13-v0", 97), set()
    objects = env.reset(3)["image"][..., 0].flatten(1)
    key, ball = ((objects == number).sum(1) for number in (5, 6))  # the package's numbers
    lone = env.cue().visible & (key + ball == 1)
    assert ball[lone].equal(env.cue().identity[lone])
    names |= {*env.cue().identity[lone].tolist()}
    assert names == {0, 1}


def test_an_environment_without_cues_tells_of_none():
    env = make("probe/Bandit-v0", 3)
    env.reset(0)
    assert env.cue() is None
    assert env.choice(torch.zeros(3, dtype=torch.int64)) is None
