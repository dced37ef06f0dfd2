"""Copies of an id: limits, processes that hang or die, missions, what they print."""

from __future__ import annotations

import multiprocessing
from functools import partial

import gymnasium
import minigrid  # noqa: F401 (registers its ids)
import pytest
import torch
from counting import Counting
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from suites import slow

from memrl.envs import make
from memrl.envs.adapters.checked_env import CheckedEnv
from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter
from memrl.envs.adapters.vectorization import Watched, vector_env
from memrl.envs.missions import VOCABULARY, decode
from memrl.rollout.tokens import Tokens


def one_env(index: int, faulty: int, fault: str) -> CheckedEnv:
    env = Counting(fault=fault, at=1) if index == faulty else Counting()
    return CheckedEnv(env, name="Counting", index=index)


def watched(fault: str, limit: float) -> GymnasiumAdapter:
    env_fns = [partial(one_env, i, 1, fault) for i in range(3)]
    workers = AsyncVectorEnv(env_fns, autoreset_mode=AutoresetMode.SAME_STEP)
    return GymnasiumAdapter(Watched(workers, "Counting", limit), name="Counting")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        slow("hang", "env 1 of Counting: step took longer than step_limit_s = 4 s"),
        ("die", "env 1 of Counting: its process ended during step with exit code 3"),
    ],
)
def test_a_process_that_hangs_or_dies_is_named_and_none_is_left(fault: str, words: str):
    env = watched(fault, limit=4.0 if fault == "hang" else 60.0)
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match=words):
        env.step(torch.zeros(3, dtype=torch.int64))
    env.close()
    assert not [p for p in multiprocessing.active_children() if "Worker" in p.name]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("verb", ["between steps", "during a step"])
def test_processes_that_a_signal_has_ended_are_closed_without_a_word(verb: str):
    env = GymnasiumAdapter(vector_env("CartPole-v1", 3, vectorization="async"))
    env.reset(seed=0)
    workers = [p for p in multiprocessing.active_children() if "Worker" in p.name]
    if verb == "during a step":
        env._vector.env.step_async([0, 0, 0])
    for process in workers[:2]:
        process.kill()
        process.join()
    env.close()
    assert not any(process.is_alive() for process in workers)


@pytest.mark.parametrize("fault", [slow("hang at reset"), "die at reset"])
def test_a_reset_that_hangs_or_dies_is_named(fault: str):
    with pytest.raises(RuntimeError, match=r"env 1 of Counting: .*reset"):
        watched(fault, limit=4.0)  # an adapter resets once to see what there is


@pytest.mark.parametrize("vectorization", ["sync", "vector_entry_point"])
def test_a_step_limit_needs_processes(vectorization: str):
    with pytest.raises(ValueError, match=f"={vectorization}, allowed: vectorization=async only"):
        vector_env("CartPole-v1", 2, vectorization=vectorization, step_limit_s=5)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_limit_is_more_than_no_time(limit: float):
    with pytest.raises(ValueError, match="allowed: more than 0 seconds"):
        vector_env("CartPole-v1", 2, vectorization="async", step_limit_s=limit)


def test_missions_come_as_tokens_from_processes_too():
    here, there = (
        make("BabyAI-GoToSeqS5R2-v0", 2, seed=3, vectorization=how) for how in ("sync", "async")
    )
    try:
        obs = here.reset(seed=3)
        assert torch.equal(obs["mission"], there.reset(seed=3)["mission"])
    finally:
        there.close()
    assert obs["mission"].dtype == torch.int64
    original = gymnasium.make("BabyAI-GoToSeqS5R2-v0").unwrapped
    said = [original.reset(seed=seed)[0]["mission"] for seed in (3, 4)]
    assert decode(obs["mission"]) == said


def test_the_last_mission_of_an_episode_is_its_own_and_not_the_next_one_s():
    env = make("BabyAI-GoToLocalS5N2-v0", 7, max_steps=3)
    opened, ends = decode(env.reset(seed=1)["mission"]), 0
    for _ in range(3):
        step = env.step(torch.zeros(7, dtype=torch.int64))
        assert decode(step.final_obs["mission"]) == opened
        ends += int(step.ended.sum())
        opened = decode(step.obs["mission"])
    assert ends == 7


def test_a_mission_has_the_space_of_tokens():
    env = make("BabyAI-OpenTwoDoors-v0", 2)
    assert isinstance(env.observation_space["mission"], Tokens)
    assert env.observation_space["mission"].num_symbols == len(VOCABULARY)


def test_text_can_be_left_out():
    env = make("BabyAI-GoToObj-v0", 2, read_text=False)
    assert sorted(env.observation_space) == ["direction", "image"]


@pytest.mark.slow
def test_a_mission_that_never_changes_is_left_out():
    env = make("MiniGrid-DoorKey-5x5-v0", 2)
    assert sorted(env.observation_space) == ["direction", "image"]


def test_babyai_does_not_print_about_levels_that_it_throws_away(capfd: pytest.CaptureFixture[str]):
    original = gymnasium.make("BabyAI-GoToSeqS5R2-v0")
    for seed in range(60):
        original.reset(seed=seed)
    assert "Sampling rejected" in capfd.readouterr().out, "the task no longer prints"
    env = make("BabyAI-GoToSeqS5R2-v0", 60)
    env.reset(seed=0)
    assert capfd.readouterr().out == ""


def test_copies_in_processes_tell_whose_they_are():
    env = GymnasiumAdapter(vector_env("CartPole-v1", 2, vectorization="async"))
    env.close()
    assert env.name == "CartPole-v1"
