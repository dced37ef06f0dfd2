"""Who calls ``predict`` without the state it returned is told so, and nobody else."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from small_models import BOX, KINDS, STEPS, Sampled, copies, make_model
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy

from memrl.memory import state as states

REMEMBERING = sorted(KINDS - {"none"})
OBS = np.zeros(4, np.float32)


@pytest.mark.parametrize("memory", REMEMBERING)
def test_the_second_call_without_the_state_is_warned_about(memory):
    model = make_model(memory=memory)
    model.predict(OBS)
    with pytest.warns(UserWarning, match="keep it: action, state = model.predict"):
        model.predict(OBS)


@pytest.mark.parametrize("layers", [1, 2])
def test_without_a_memory_there_is_nothing_to_forget(layers):
    model = make_model(memory="none", policy={"layers": layers})
    for _ in range(3):
        model.predict(OBS)


def test_a_stack_of_frames_is_a_memory():
    model = make_model(memory="framestack", policy={"layers": 2})
    model.predict(OBS)
    with pytest.warns(UserWarning, match="without the state"):
        model.predict(OBS)


def test_forgetting_the_state_while_naming_the_starts_is_warned_about():
    model = make_model()
    model.predict(np.zeros((2, 4), np.float32), episode_start=np.ones(2, bool))
    with pytest.warns(UserWarning, match="without the state"):
        model.predict(np.zeros((2, 4), np.float32), episode_start=np.array([True, False]))


def test_the_policy_warns_as_the_model_does():
    policy = make_model().policy
    policy.predict(OBS)
    with pytest.warns(UserWarning, match="without the state"):
        policy.predict(OBS)


@pytest.mark.parametrize("memory", REMEMBERING)
def test_a_state_that_is_kept_only_until_the_next_call_is_forgotten(memory):
    model = make_model(memory=memory)
    _, _state = model.predict(OBS)
    _, _state = model.predict(OBS)
    with pytest.warns(UserWarning, match="without the state"):
        model.predict(OBS)


def test_a_copy_of_a_model_was_never_called():
    model = make_model()
    model.predict(OBS)
    for twin in (copy.deepcopy(model.policy), pickle.loads(pickle.dumps(model.policy))):
        twin.predict(OBS)


# From here on a warning would be an error: these are the callers who do it right.


def test_a_caller_who_keeps_the_state_hears_nothing():
    model, state = make_model(), None
    for _ in range(4):
        _, state = model.predict(OBS, state)


def test_every_episode_may_begin_without_a_state():
    model = make_model()
    for _ in range(3):
        state = None
        for _ in range(3):
            _, state = model.predict(OBS, state)


def test_episodes_of_one_step_may_begin_without_a_state_where_that_is_said():
    model = make_model()
    for _ in range(3):
        model.predict(OBS, episode_start=np.array([True]))


def test_two_environments_in_turn_are_fine_where_starts_are_said():
    model, kept = make_model(), {}
    for t in range(4):
        for env in "ab":
            _, kept[env] = model.predict(OBS, kept.get(env), np.array([t == 0]))


@pytest.mark.parametrize("length", [1, 4])
def test_an_evaluation_after_another_is_no_forgetting(length):
    model, env = make_model(), copies(lambda: Sampled(length=length), B=3)
    for episodes in (1, 3, 7):
        evaluate_policy(model, env, n_eval_episodes=episodes)


@pytest.mark.parametrize("length", [1, 4])
def test_an_evaluation_while_training_is_no_forgetting(length):
    model = make_model()
    held_out = copies(lambda: Sampled(length=length), B=2)
    model.learn(2 * 2 * STEPS, callback=EvalCallback(held_out, eval_freq=3, verbose=0))


def test_a_caller_interrupted_by_an_evaluation_is_still_no_forgetter():
    model, env = make_model(), copies()
    _, state = model.predict(OBS)
    evaluate_policy(model, env, n_eval_episodes=2)
    model.predict(OBS, state)


def test_two_environments_in_turn_are_fine_without_saying_so():
    model = make_model()
    states = [None, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            states = [model.predict(BOX.sample(), state)[1] for state in states]


def test_a_state_that_was_copied_before_it_was_handed_back_is_not_lost():
    model = make_model()
    for _ in range(3):
        state = None
        for _ in range(3):
            _, state = model.predict(OBS, state)
            state = states.clone(state)
