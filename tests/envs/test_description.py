"""Observations and actions in words; how they look in a terminal is tested with memrl play."""

from __future__ import annotations

import numpy as np

from memrl.envs.catalogue import EnvCard
from memrl.envs.description import action_text

NAMED = EnvCard(actions=("left", "right"))


def test_an_action_with_a_name_is_called_by_it():
    assert action_text(np.array(1), NAMED) == "right"


def test_an_action_without_a_name_is_its_numbers():
    assert action_text(np.array(2), NAMED) == "2"
    assert action_text(np.array([7, 3]), EnvCard()) == "7  3"
    assert action_text(np.array([-0.5], np.float32), NAMED) == "-0.500"
