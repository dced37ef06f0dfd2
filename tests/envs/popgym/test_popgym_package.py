"""The card and board tasks against POPGym itself: the same deals and actions, every step equal."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from suites import slow_but

from memrl.envs import make
from memrl.envs.popgym.tasks import CARD_AND_BOARD_TASKS, HIDES_ACTION, family

# This folder is a package "popgym" to those who lack the real one, but not with this module.
INSTALLED = find_spec("popgym.envs") is not None
pytestmark = pytest.mark.skipif(not INSTALLED, reason="pip install 'memrl[popgym]'")

if INSTALLED:
    import gymnasium
    from package_games import Dealer, best, next_luck, worst
    from popgym.wrappers import Antialias, Flatten, PreviousAction

PLAYERS = ("random", "best", "worst", "mixed")
EPISODES = 3  # of every player, at least


def choose(player: str, dealer, game, rng):
    if player == "mixed":
        player = ("random", "best", "best", "best", "worst")[rng.integers(5)]
    if player == "random":
        return np.asarray(game.action_space.sample())
    return np.asarray((best if player == "best" else worst)(dealer.family, game, rng))


def dealt_by_package(id, copies, monkeypatch):
    dealer, env = Dealer(id), make(id, copies)
    monkeypatch.setattr(env, "_draw", dealer.draw)
    return dealer, env


def assert_same(ours, theirs, env):
    """One row of an observation, in the order of the package's tuple where it has one."""
    values = [ours[key].numpy() for key in env.observation_space.keys()]
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    assert len(values) == len(theirs)
    assert all(np.array_equal(one, two) for one, two in zip(values, theirs, strict=True))


EASY = [id for id in CARD_AND_BOARD_TASKS if "Easy" in id]


@pytest.mark.parametrize("id", slow_but(EASY, CARD_AND_BOARD_TASKS))
def test_every_step_equals_the_package(id, monkeypatch):
    dealer, env = dealt_by_package(id, len(PLAYERS), monkeypatch)
    rng = np.random.default_rng(0)
    env.reset()
    finished, steps = np.zeros(len(PLAYERS), int), 0
    while finished.min() < EPISODES:
        games = [dealer.games[i] for i in env._setups["serial"]]
        actions = np.stack([choose(p, dealer, g, rng) for p, g in zip(PLAYERS, games, strict=True)])
        if dealer.family == "MultiarmedBandit":
            luck = torch.tensor([next_luck(game) for game in games])
            monkeypatch.setattr(env, "_uniform", lambda luck=luck: luck)
        after = env.step(torch.as_tensor(actions).long())
        serial = env._setups["serial"]
        for b, game in enumerate(games):
            action = actions[b] if actions.ndim == 2 else int(actions[b])
            obs, reward, terminated, truncated, _ = game.step(action)
            assert_same({k: v[b] for k, v in after.final_obs.items()}, obs, env)
            assert after.reward[b].numpy() == np.float32(reward)
            assert (bool(after.terminated[b]), bool(after.truncated[b])) == (terminated, truncated)
            if terminated or truncated:
                finished[b] += 1
                obs = dealer.first_obs[serial[b]]
            assert_same({k: v[b] for k, v in after.obs.items()}, obs, env)
        steps += 1
    print(f"\n{id}: {steps * len(PLAYERS)} steps equal, {finished.sum()} whole episodes", end=" ")


@pytest.mark.parametrize("id", CARD_AND_BOARD_TASKS)
def test_spaces_are_those_of_the_package(id):
    env, game = make(id), gymnasium.make(id).unwrapped
    ours = [env.observation_space[key] for key in env.observation_space.keys()]
    theirs = game.observation_space
    theirs = list(theirs) if isinstance(theirs, gymnasium.spaces.Tuple) else [theirs]
    sizes = [getattr(space, "n", None) or list(space.nvec) for space in ours]
    assert sizes == [getattr(space, "n", None) or list(space.nvec) for space in theirs]
    assert env.action_space == game.action_space
    assert game.obs_requires_prev_action == (family(id) in HIDES_ACTION)


@pytest.mark.parametrize("id", [f"popgym-{name}Easy-v0" for name in (*HIDES_ACTION, "CountRecall")])
def test_the_papers_wrappers_are_a_matter_of_options(id, monkeypatch):
    dealer, env = Dealer(id), make(id, prev_action=True, antialias=True)
    monkeypatch.setattr(env.env, "_draw", dealer.draw)
    keys = ("obs", "prev_action", "is_t0")  # the order of the package's tuple
    entries = gymnasium.spaces.Tuple([env.observation_space[key] for key in keys])

    def one_hot(obs):
        return gymnasium.spaces.flatten(entries, tuple(obs[key][0].numpy() for key in keys))

    obs = env.reset()
    for _ in range(EPISODES):
        serial = int(env.env._setups["serial"])
        wrapped = Flatten(Antialias(PreviousAction(dealer.games[serial])))
        assert np.array_equal(one_hot(obs), wrapped.reset(seed=serial)[0])
        ended = False
        while not ended:
            action = wrapped.action_space.sample()
            if dealer.family == "MultiarmedBandit":
                luck = torch.tensor([next_luck(dealer.games[serial])])
                monkeypatch.setattr(env.env, "_uniform", lambda luck=luck: luck)
            theirs, _, terminated, truncated, _ = wrapped.step(action)
            after = env.step(torch.as_tensor(action).long()[None])
            assert np.array_equal(one_hot(after.final_obs), theirs)
            obs, ended = after.obs, terminated or truncated
