"""The physics is Gymnasium's, number by number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control import CartPoleEnv, PendulumEnv

from memrl.envs.popgym.control_dynamics import fallen, push_cart, turn_rod

B = 211
# A torque is float32, and NumPy 1 makes float64 of it where NumPy 2 does not.
CLOSE = 1e-13 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 1e-7
OF_TORQUE = {"rtol": CLOSE, "atol": CLOSE}


def test_a_push_moves_cart_and_pole_as_gymnasiums_do():
    generator = np.random.default_rng(0)
    states = generator.uniform(-1, 1, (B, 4)) * [3.0, 5.0, 0.4, 5.0]
    pushes = generator.integers(2, size=B)
    env = CartPoleEnv()
    env.reset()
    want, over = [], []
    for state, push in zip(states, pushes, strict=True):
        env.state, env.steps_beyond_terminated = state, None
        over.append(env.step(push)[2])
        want.append(env.state)
    moved = push_cart(torch.as_tensor(states), torch.as_tensor(pushes) == 1)
    torch.testing.assert_close(moved, torch.as_tensor(np.array(want)), rtol=1e-13, atol=1e-13)
    assert fallen(moved).tolist() == over
    assert 0 < sum(over) < B


def test_a_torque_turns_the_rod_and_costs_as_gymnasiums_does():
    generator = np.random.default_rng(1)
    states = generator.uniform(-1, 1, (B, 2)) * [3 * math.pi, 8.0]
    torques = generator.uniform(-3, 3, (B, 1)).astype(np.float32)  # some are clipped
    env = PendulumEnv()
    env.reset()
    want, costs = [], []
    for state, torque in zip(states, torques, strict=True):
        env.state = state
        costs.append(-env.step(torque)[1])
        want.append(env.state)
    moved, cost = turn_rod(torch.as_tensor(states), torch.as_tensor(torques).squeeze(1))
    torch.testing.assert_close(moved, torch.as_tensor(np.array(want)), **OF_TORQUE)
    torch.testing.assert_close(cost, torch.as_tensor(costs), **OF_TORQUE)
    assert (moved[:, 1].abs() == 8.0).any()


def test_no_pole_falls_within_five_steps():
    corners = torch.cartesian_prod(*[torch.tensor([-0.05, 0.05])] * 4).double()
    pushes = torch.cartesian_prod(*[torch.tensor([False, True])] * 5)
    state = corners.repeat_interleave(len(pushes), 0)
    for push in pushes.repeat(len(corners), 1).T:
        assert not fallen(state).any()
        state = push_cart(state, push)
    assert not fallen(state).any()


@pytest.mark.parametrize("limit", [2.4, 12 * math.pi / 180])
def test_a_cart_at_its_limit_has_not_fallen_yet(limit):
    place = 0 if limit == 2.4 else 2
    state = torch.zeros(3, 4, dtype=torch.float64)
    state[:, place] = torch.tensor([limit, np.nextafter(limit, 9), -np.nextafter(limit, 9)])
    assert fallen(state).tolist() == [False, True, True]
