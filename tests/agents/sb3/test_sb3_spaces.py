"""Every memory learns from and acts in every kind of space that Stable-Baselines3 offers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_models import BOX, MEMORIES, STEPS, Sampled, copies, make_model, parameters
from stable_baselines3.common.evaluation import evaluate_policy

SEEN = {
    "box": BOX,
    "unbounded": spaces.Box(-np.inf, np.inf, (3,), np.float64),
    "matrix": spaces.Box(0.0, 1.0, (2, 3), np.float32),
    "scalar": spaces.Box(0.0, 1.0, (), np.float32),
    "discrete": spaces.Discrete(5),
    "discrete from two": spaces.Discrete(5, start=2),
    "multidiscrete": spaces.MultiDiscrete([3, 2]),
    "multibinary": spaces.MultiBinary(3),
    "dict": spaces.Dict({"where": BOX, "what": spaces.Discrete(3), "on": spaces.MultiBinary(2)}),
    "grid": spaces.Box(0, 9, (5, 3, 2), np.uint8),
}
DONE = {
    "discrete": spaces.Discrete(3),
    "discrete from minus one": spaces.Discrete(3, start=-1),
    "multidiscrete": spaces.MultiDiscrete([3, 2]),
    "multibinary": spaces.MultiBinary(3),
    "box": spaces.Box(-1.0, 2.0, (2,), np.float32),
    "box with two axes": spaces.Box(0.0, 0.1, (2, 3), np.float32),
}


def improves(env, memory):
    """Does a rollout change the policy, and can it act afterwards?"""
    model = make_model(env, memory, n_steps=4, batch_size=4 * env.num_envs, n_epochs=1)
    before = parameters(model)
    model.learn(4 * env.num_envs)
    _, state = model.predict(env.reset())
    model.predict(env.reset(), state)
    return bool(torch.isfinite(parameters(model)).all()) and not before.equal(parameters(model))


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("seen", SEEN)
def test_every_observation_is_learned_from(seen, memory):
    assert improves(copies(lambda: Sampled(SEEN[seen], length=3), B=2), memory)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("done", DONE)
def test_every_action_is_taken_within_its_space(done, memory):
    assert improves(copies(lambda: Sampled(BOX, DONE[done], length=3), B=3), memory)


@pytest.mark.parametrize("done", DONE)
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_predicted_action_lies_in_its_space(done, deterministic):
    space = DONE[done]
    model = make_model(copies(lambda: Sampled(BOX, space), B=3))
    batch, _ = model.predict(np.stack([BOX.sample() for _ in range(7)]), None, None, deterministic)
    assert batch.shape == (7, *space.shape)
    assert batch.dtype == space.dtype
    assert all(space.contains(action) for action in batch)
    single, _ = model.predict(BOX.sample(), episode_start=np.ones(1, bool))
    assert np.shape(single) == space.shape
    assert space.contains(single)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("done", ["discrete", "box"])
def test_episodes_are_evaluated_to_their_end(done, memory):
    env = copies(lambda: Sampled(BOX, DONE[done]), B=3)
    returns, lengths = evaluate_policy(
        make_model(env, memory), env, 4, deterministic=False, return_episode_rewards=True
    )
    assert returns == [1 + 2 + 3 + 4 + 5] * 4
    assert lengths == [5] * 4


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_an_environment_may_be_given_by_its_id(name):
    model = make_model(name).learn(2 * STEPS)
    assert model.num_timesteps == 2 * STEPS


def test_the_aliases_differ_in_name_only():
    from memrl.agents.sb3 import MemoryPolicy, MemoryPPO

    models = [
        MemoryPPO(policy, copies(), n_steps=8, batch_size=8, seed=1, device="cpu")
        for policy in ("MlpPolicy", "CnnPolicy", "MultiInputPolicy", MemoryPolicy)
    ]
    assert all(parameters(models[0]).equal(parameters(model)) for model in models[1:])


@pytest.mark.parametrize(
    "policy", [{"layers": 2}, {"skip": True}, {"head_dim": 0}, {"normalise_obs": True}], ids=str
)
@pytest.mark.parametrize("memory", ["lstm", "dnc"])
def test_the_policy_may_be_built_otherwise(policy, memory):
    model = make_model(memory=memory, policy=policy)
    before = parameters(model)
    assert not before.equal(parameters(model.learn(2 * STEPS)))
    evaluate_policy(model, copies(), n_eval_episodes=2)


def test_sizes_of_rollouts_minibatches_and_chunks_may_differ():
    for sizes in (
        {"n_steps": 12, "batch_size": 12, "bptt": 4},
        {"n_steps": 12, "batch_size": 18},
        {"n_steps": 1, "batch_size": 1, "normalize_advantage": False},
        {"n_steps": 16, "batch_size": 16, "bptt": 8, "burn_in": 4, "refresh_states": True},
    ):
        model = make_model(copies(B=3), **sizes)
        assert model.learn(2 * 3 * sizes["n_steps"]).num_timesteps == 6 * sizes["n_steps"]
