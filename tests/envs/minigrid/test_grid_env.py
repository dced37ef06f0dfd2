"""GridEnv as a batch of environments: ends, seeds, saved states, missions, pictures, bad input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from biased_play import nudge
from minigrid.wrappers import RGBImgObsWrapper, RGBImgPartialObsWrapper
from minigrid_package import package_env
from test_grid_package import state_of
from test_memory_env import NoWaiting, assert_equal

from memrl.envs.minigrid import GRID_IDS, MEMORY_IDS, GridEnv, render_view
from memrl.envs.minigrid.bank_files import load_bank
from memrl.envs.minigrid.families import FAMILIES, rules_of
from memrl.envs.minigrid.grid_episodes import (
    advance,
    autoreset_by_index,
    autoreset_by_mask,
    start_episodes,
)
from memrl.envs.missions import decode
from memrl.rollout.env import Transition

FETCH, BALLS = "MiniGrid-Fetch-5x5-N2-v0", "MiniGrid-Dynamic-Obstacles-5x5-v0"
DOOR_KEY = "MiniGrid-DoorKey-5x5-v0"
KINDS = [ids[-1] for ids in FAMILIES.values()]


def made(id: str, copies: int, **options: Any) -> GridEnv:
    return GridEnv(id, copies, **({"bank_size": 13} | options))


def played(env: GridEnv, steps: int, seed: int = 3) -> Iterator[Transition]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        actions = (env.num_envs,)
        yield env.step(torch.randint(int(env.action_space.n), actions, generator=generator))


def test_the_ids_are_all_of_the_package_s_but_those_that_collapse_waves():
    registered = {id for id in gymnasium.registry if id.startswith("MiniGrid-")}
    collapsing = {id for id in registered if "WFC" in id}
    assert set(GRID_IDS) | set(MEMORY_IDS) == registered - collapsing
    assert len(GRID_IDS) == len(set(GRID_IDS)) == 70


@pytest.mark.parametrize("id", FAMILIES["picked up"])
def test_a_target_is_the_only_one_of_its_kind(id: str):
    """Which is why its code stands for it."""
    _, bank = load_bank(id, 13, 0)
    places = torch.cat([bank.cells, bank.contents], 1) if bank.contents.numel() else bank.cells
    assert ((places == bank.facts).sum(1) == 1).all()


def test_spaces_hold_what_is_given_out():
    env = made(FETCH, 3, agent_view_size=5)
    obs = env.reset(seed=1)
    assert obs["image"].shape == (3, 5, 5, 3)
    assert obs["image"].dtype == torch.uint8
    for copy in range(3):
        one = {key: value[copy].numpy()[()] for key, value in obs.items()}
        assert env.observation_space.contains(one)


@pytest.mark.parametrize("id", KINDS)
def test_an_end_gives_the_last_and_the_next_first_observation(id: str):
    env = made(id, 31)
    env.reset(seed=2)
    env.load_state_dict(_late(env))
    ends = 0
    for step in played(env, 12):
        for key, value in step.obs.items():
            assert torch.equal(value[~step.ended], step.final_obs[key][~step.ended])
        ends += int(step.ended.sum())
        play = env.state_dict()["play"]
        assert (play["t"][step.ended] == 0).all()
        opened = start_episodes(env._bank, torch.arange(13))
        for one in step.ended.nonzero().flatten():
            same = (opened.grid.cells == play["grid"]["cells"][one]).all(1)
            same &= (opened.facts == play["facts"][one]).all(1)
            (found, *_) = same.nonzero().flatten().tolist()
            assert torch.equal(step.obs["image"][one], env._first[found]) or same.sum() > 1
    assert ends >= 31


def _late(env: GridEnv) -> dict[str, Any]:
    """The present state, ten steps before the time is up."""
    saved = env.state_dict()
    late = torch.full_like(saved["play"]["t"], env._max_steps - 10)
    return saved | {"play": saved["play"] | {"t": late}}


def test_idling_is_cut_at_max_steps_without_success():
    env = made("MiniGrid-PutNear-6x6-N2-v0", 5)
    env.reset(seed=4)
    for t in range(1, 61):
        step = env.step(torch.full((5,), 6))
        assert step.truncated.tolist() == [t % 30 == 0] * 5
        assert not step.terminated.any()
        if t % 30 == 0:
            assert step.metrics["success"].tolist() == [0] * 5
            assert step.metrics["length"].tolist() == [30] * 5


@pytest.mark.parametrize("id", [FETCH, BALLS])
def test_a_seed_repeats_everything_and_another_does_not(id: str):
    runs = []
    for seed in (5, 5, 6):
        env = made(id, 13)
        first = env.reset(seed=seed)["image"]
        runs.append(torch.stack([first, *(step.obs["image"] for step in played(env, 60))]))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_another_seed_of_the_bank_gives_other_levels():
    one, two = (made(FETCH, 1, bank=seed)._bank.cells for seed in (0, 1))
    assert not torch.equal(one, two)


@pytest.mark.parametrize("id", [FETCH, BALLS])
def test_a_saved_state_continues_bit_for_bit(id: str):
    env, other = made(id, 17), made(id, 17)
    env.reset(seed=8)
    last = list(played(env, 23))[-1]
    saved = env.state_dict()
    want = list(played(env, 60, seed=9))
    assert_equal(other.load_state_dict(saved), last.obs)
    for got, wanted in zip(played(other, 60, seed=9), want, strict=True):
        assert_equal(got[:-1], wanted[:-1])
    assert_equal(other.load_state_dict(saved), last.obs)  # stepping did not write into it


def test_a_state_of_another_task_is_refused():
    saved = made(DOOR_KEY, 3).state_dict()
    for options in ({"bank": 1}, {"agent_view_size": 3}, {"bank_size": 5}):
        with pytest.raises(ValueError, match=r"num_envs\) of the saved state is .*, allowed: "):
            made(DOOR_KEY, 3, **options).load_state_dict(saved)


@pytest.mark.parametrize("id", [FETCH, BALLS])
def test_what_was_given_out_is_never_written_again(id: str):
    env = made(id, 7)
    obs = env.reset(seed=0)
    kept = [(obs, {k: v.clone() for k, v in obs.items()})]
    for step in played(env, 50):
        for given in (step.obs, step.final_obs):
            kept.append((given, {k: v.clone() for k, v in given.items()}))
    for given, copy in kept:
        assert_equal(given, copy)


@pytest.mark.parametrize("id", KINDS)
def test_renewing_every_row_is_renewing_those_that_ended(id: str):
    env = made(id, 11)
    ended, level = torch.arange(11) % 3 == 0, torch.arange(11) % 13
    answers = []
    for renew in (autoreset_by_index, autoreset_by_mask):
        play = start_episodes(env._bank, level.flip(0))
        image = env._engine.observe(play.grid)
        answers.append(renew(play, image, ended, env._bank, env._first, level))
    (one, seen), (two, seen_too) = answers
    assert_equal([*one.grid, *one[1:], seen], [*two.grid, *two[1:], seen_too])


@pytest.mark.parametrize("id", KINDS)
def test_what_a_device_does_in_a_step_waits_for_nothing(id: str):
    env = made(id, 11)
    env.step(torch.zeros(11, dtype=torch.int64))  # tables are made in the first one
    level, ended = torch.arange(11), torch.arange(11) % 2 == 0
    with NoWaiting():
        play, _ = advance(env._engine, env._task_rules, env._episodes, level % 3, env._generator)
        image = env._engine.observe(play.grid)
        autoreset_by_mask(play, image, ended, env._bank, env._first, level)


@pytest.mark.cuda
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: run the suite on a machine with one"
)
@pytest.mark.parametrize("id", [id for id in KINDS if "Dynamic" not in id])
def test_cuda_plays_the_same_game(id: str):
    actions = torch.randint(7, (100, 19), generator=torch.Generator().manual_seed(0))
    cpu, gpu = made(id, 19), made(id, 19, device="cuda")
    for action in actions:
        gpu.load_state_dict(cpu.state_dict() | {"generator": gpu.state_dict()["generator"]})
        a, b = cpu.step(action), gpu.step(action.cuda())
        for name in ("reward", "terminated", "truncated", "final_obs", "metrics"):
            torch.testing.assert_close(getattr(b, name), getattr(a, name), check_device=False)


@pytest.mark.parametrize("id", ["MiniGrid-KeyCorridorS3R3-v0", "MiniGrid-GoToDoor-6x6-v0"])
def test_pictures_are_the_package_s(id: str):
    package, env = package_env(id, render_mode="rgb_array"), made(id, 1)
    package.reset(seed=1)
    for action in (0, 2, 2, 1, 2, 0):
        state = env.state_dict() | {"play": state_of([package], env)}
        obs = env.load_state_dict(state)
        np.testing.assert_array_equal(env.render(0), package.get_frame())
        view = render_view(obs["image"][0])
        np.testing.assert_array_equal(view, package.get_frame(agent_pov=True))
        package.step(action)


def test_missions_are_sentences_again():
    env = made("MiniGrid-LockedRoom-v0", 3)
    (said, *_) = decode(env.reset(seed=0)["mission"])
    assert package_env(env.id).observation_space["mission"].contains(said)


def test_a_mission_without_words_of_its_own_is_left_out():
    assert "mission" not in made(DOOR_KEY, 1).reset()
    assert "mission" not in made("MiniGrid-ObstructedMaze-1Dl-v0", 1).reset()


@pytest.mark.parametrize("id", [FETCH, "MiniGrid-ObstructedMaze-1Dlhb-v0", BALLS])
@pytest.mark.parametrize("observation", ["rgb", "rgb_full"])
def test_pictures_to_learn_from_are_those_of_the_package_s_wrappers(id: str, observation: str):
    wrapper = {"rgb": RGBImgPartialObsWrapper, "rgb_full": RGBImgObsWrapper}[observation]
    package = wrapper(package_env(id), tile_size=8)
    env = made(id, 1, observation=observation)
    for seed in range(3):
        package.reset(seed=seed)
        rng = np.random.default_rng(seed)
        for _ in range(6):
            nudge(package.unwrapped, rng)
            state = {"play": state_of([package.unwrapped], env)}
            shown = env.load_state_dict(env.state_dict() | state)["image"][0].numpy()
            obs = package.observation(package.unwrapped.gen_obs())
            np.testing.assert_array_equal(shown, obs["image"])


def test_a_picture_follows_its_episode():
    env = made(DOOR_KEY, 5, observation="rgb")
    env.reset(seed=0)
    env.load_state_dict(_late(env))
    for step in played(env, 12):
        assert env.observation_space["image"].shape == step.obs["image"].shape[1:]
        now = env.load_state_dict(env.state_dict())["image"]
        assert torch.equal(step.obs["image"], now)


def test_an_unknown_id_names_the_nearest():
    for near in (lambda id: made(id, 1), rules_of):
        with pytest.raises(ValueError, match="did you mean MiniGrid-DoorKey-5x5-v0"):
            near("MiniGrid-DoorKey-5x5-v9")


def test_impossible_numbers_are_refused():
    for options, said in (
        ({"agent_view_size": 4}, "agent_view_size is 4"),
        ({"observation": "rbg"}, "did you mean rgb"),
        ({"bank_size": 0}, "bank_size is 0"),
        ({"bank": -1}, "bank is -1"),
    ):
        with pytest.raises(ValueError, match=said):
            made(DOOR_KEY, 3, **options)
    with pytest.raises(ValueError, match="num_envs is 0"):
        made(DOOR_KEY, 0)
    with pytest.raises(ValueError, match="an action is 3, allowed: 0 … 2"):
        made(BALLS, 2).step(torch.tensor([0, 3]))
