"""MFEC's values: that of the very key where there is one, else the mean of the nearest."""

from __future__ import annotations

import torch
from small_episodic import make_agent


def held():
    """Three observations of action 1 and one of action 0, in a method that reads two."""
    method = make_agent("mfec", neighbours=2).method
    keys = torch.zeros(4, method.config.key_dim)
    keys[:, 0] = torch.tensor([0.0, 1.0, 5.0, 0.0])
    method.dictionaries.write(
        torch.tensor([1, 1, 1, 0]), keys, torch.tensor([8.0, 2.0, 100.0, 7.0])
    )
    return method


def asked(method, place):
    """The values of actions 0 and 1 at a key."""
    key = torch.zeros(1, method.config.key_dim)
    key[0, 0] = place
    method.policy.forward = lambda obs: key
    return method.action_values({}).q[0, :2].tolist()


def test_the_very_key_is_worth_its_own_value():
    assert asked(held(), 1.0)[1] == 2.0


def test_any_other_is_worth_the_mean_of_the_nearest_or_of_as_many_as_there_are():
    assert asked(held(), 0.4) == [7.0, 5.0]
