"""The methods of SB3's policies agree with ``predict`` and with what is learned from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_models import BOX, STEPS, Sampled, copies, make_model

from memrl.memory import state as states

PER = 2 * STEPS
T, B = 5, 3
ACTIONS = [
    spaces.Discrete(3),
    spaces.MultiDiscrete([3, 2]),
    spaces.MultiBinary(3),
    spaces.Box(-1, 1, (2,), np.float32),
]


def sequences(model):
    rng = np.random.default_rng(3)
    obs = torch.from_numpy(rng.uniform(-1, 1, (T, B, 4)).astype(np.float32))
    start = torch.from_numpy(rng.random((T, B)) < 0.3)
    return obs, start, model.policy.initial_state(B)


@pytest.mark.parametrize("space", ACTIONS, ids=str)
def test_a_sequence_is_evaluated_as_its_steps_are_acted(space):
    model = make_model(copies(lambda: Sampled(BOX, space)), "lstm", double=True)
    obs, start, state = sequences(model)
    first, steps = state, []
    for x, begins in zip(obs, start, strict=True):
        actions, values, log_prob, state = model.policy(x, state, begins.float())
        assert values.shape == (B, 1)
        steps.append((actions, values, log_prob))
    actions, values, log_prob = (
        torch.stack(part, dim=1).flatten(0, 1) for part in zip(*steps, strict=True)
    )
    rows = obs.transpose(0, 1).flatten(0, 1), start.t().flatten().float()
    got = model.policy.evaluate_actions(rows[0], actions, first, rows[1])
    torch.testing.assert_close(got[0], values)
    torch.testing.assert_close(got[1], log_prob)
    assert got[2].shape == (T * B,)
    torch.testing.assert_close(model.policy.predict_values(rows[0], first, rows[1]), values)
    distribution, last = model.policy.get_distribution(rows[0], first, rows[1])
    taken = actions.double() if isinstance(space, spaces.MultiBinary) else actions
    torch.testing.assert_close(distribution.log_prob(taken), log_prob)
    torch.testing.assert_close(distribution.entropy(), got[2])
    for a, b in zip(states.leaves(last), states.leaves(state), strict=True):
        torch.testing.assert_close(a, b)
    got[1].sum().backward()
    assert model.policy.action_net.weight.grad.any()


def test_the_most_probable_action_is_that_of_predict():
    model = make_model(memory="gru")
    obs, start, state = sequences(model)
    acted, *_ = model.policy(obs[0], state, start[0], deterministic=True)
    predicted, _ = model.predict(obs[0].numpy(), state, start[0].numpy(), deterministic=True)
    assert acted.tolist() == predicted.tolist()


def test_values_are_in_units_of_reward():
    model = make_model(copies(lambda: Sampled(length=99)), double=True).learn(PER)
    buffer, policy = model.rollout_buffer, model.policy
    norm = model.return_norm
    assert norm.mean.abs() > 1
    first = states.map_state(lambda kept: kept[0], buffer.states)
    raw = policy.predict_values(buffer.observations[0], first, buffer.episode_starts[0])
    standardised = policy.net.step(
        {"obs": torch.from_numpy(buffer.observations[0])}, first, buffer.start[0]
    ).value
    torch.testing.assert_close(raw.squeeze(-1), norm.inverse(standardised.unsqueeze(-1))[:, 0])


def test_the_parts_have_sb3s_names():
    discrete = make_model()
    assert discrete.policy.action_net.out_features == 3
    assert discrete.policy.value_net.out_features == 1
    assert not hasattr(discrete.policy, "log_std")
    continuous = make_model(copies(lambda: Sampled(BOX, ACTIONS[3])))
    assert continuous.policy.log_std.shape == (2,)


@pytest.mark.parametrize(
    "wrong",
    [
        (np.zeros((1, 2, 5)), np.zeros((1, 2, 5))),
        {"h": torch.zeros(2, 5)},
        torch.zeros(2, 5),
        "state",
        (torch.zeros(2, 7), torch.zeros(2, 7)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_state_of_another_kind_is_one_sentence(wrong):
    model, obs = make_model(memory="lstm"), np.zeros((2, 4), np.float32)
    for call in (model.predict, model.policy.predict_values):
        with pytest.raises(ValueError, match=r"allowed: what predict returned, \w+\(.*\[B, 5\]"):
            call(obs, wrong)


def test_a_state_of_another_width_or_memory_is_one_sentence():
    obs = np.zeros((2, 4), np.float32)
    _, wide = make_model(policy={"memory_kwargs": {"hidden_dim": 7}}).predict(obs)
    _, other = make_model(memory="dnc").predict(obs)
    for state in (wide, other):
        with pytest.raises(ValueError, match=r"^the state is .*, allowed: what predict returned"):
            make_model().predict(obs, state)


def test_a_state_of_another_precision_is_one_sentence():
    model, obs = make_model(memory="lstm"), np.zeros((2, 4), np.float32)
    _, state = model.predict(obs)
    double = states.map_state(torch.Tensor.double, state)
    for call in (model.predict, model.policy.predict_values):
        with pytest.raises(ValueError, match=r"h of the state is torch.float64, allowed: torch.fl"):
            call(obs, double)


def test_starts_of_another_number_are_one_sentence():
    policy, obs = make_model().policy, np.zeros((2, 4), np.float32)
    with pytest.raises(ValueError, match="episode_starts has 3 rows, allowed: 2"):
        policy.predict_values(obs, None, np.zeros(3))
    with pytest.raises(ValueError, match="the state has 3 rows, allowed: 2, or a divisor"):
        policy.predict_values(obs, policy.initial_state(3))
