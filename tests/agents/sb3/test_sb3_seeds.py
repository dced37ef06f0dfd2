"""Seeds repeat draws, and where environments are reset rows start."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from small_models import STEPS, Sampled, copies, make_model, parameters

from memrl.agents.sb3 import MemoryPPO
from memrl.memory import state as states

PER = 2 * STEPS


def draws(model):
    obs, start = np.zeros((40, 4), np.float32), np.ones(40, bool)
    return model.predict(obs, None, start)[0].tolist()


def test_the_same_seed_gives_the_same_draws_again():
    model = make_model()
    model.set_random_seed(5)
    first = draws(model)
    assert draws(model) != first
    model.set_random_seed(5)
    assert draws(model) == first
    model.set_random_seed(np.int64(6))
    assert draws(model) != first


def test_training_repeats_from_a_seed_set_later():
    def learned(seed):
        model = make_model(seed=1)
        model.set_random_seed(seed)
        return parameters(model.learn(PER))

    assert learned(5).equal(learned(5))
    assert not learned(5).equal(learned(6))


def test_models_of_several_threads_with_one_seed_begin_alike():
    """Where one is at its first weights another would seed the generator anew."""
    made, ready = [], threading.Barrier(4)

    def build():
        ready.wait()
        made.append(parameters(make_model(memory="lstm")))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(weights.equal(made[0]) for weights in made)
    assert parameters(make_model(memory="lstm")).equal(made[0])


@pytest.mark.parametrize("force_reset", [True, False])
def test_a_seed_given_to_load_counts(tmp_path, force_reset):
    make_model(copies(lambda: Sampled(length=99))).learn(PER).save(tmp_path / "m")

    def loaded(seed):
        env = copies(lambda: Sampled(length=99))
        env.seed(1)
        env.reset()
        model = MemoryPPO.load(tmp_path / "m", env, seed=seed, force_reset=force_reset)
        return parameters(model.learn(PER, reset_num_timesteps=force_reset))

    assert loaded(5).equal(loaded(5))
    assert not loaded(5).equal(loaded(6))


def test_a_loaded_model_begins_anew_where_learn_resets_the_environments(tmp_path):
    env = copies(lambda: Sampled(length=99))
    make_model(env, "lstm").learn(PER).save(tmp_path / "m")
    model = MemoryPPO.load(tmp_path / "m", env, force_reset=False)
    model.learn(PER)  # SB3's default resets
    rollout = model.rollout_buffer
    assert rollout.start[0].all()
    assert not any(bool(leaf[0].any()) for leaf in states.leaves(rollout.states))


def test_environments_set_without_a_reset_go_on_with_the_memory():
    env = copies(lambda: Sampled(length=99))
    model = make_model(env, "lstm").learn(PER)
    before = states.clone(model._collector.state)
    same_games = copies(lambda: Sampled(length=99))
    same_games.reset()
    model.set_env(same_games, force_reset=False)
    model.learn(PER, reset_num_timesteps=False)
    rollout = model.rollout_buffer
    assert not rollout.start[0].any()
    for kept, leaf in zip(states.leaves(rollout.states), states.leaves(before), strict=True):
        assert kept[0].equal(leaf)
