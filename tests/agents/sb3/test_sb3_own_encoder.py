"""`MemoryPPO` with an encoder of one's own, given as a class or as a word, saved and loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from own_folder import own_folder
from own_parts import FLAT

from memrl.agents.sb3 import MemoryPPO
from memrl.nn.encoder import ENCODERS

__all__ = ["own_folder"]  # a fixture


@pytest.fixture
def folder(own_folder: Path) -> Path:
    (own_folder / "flat.py").write_text(FLAT)
    return own_folder


def model_with(**policy: object) -> MemoryPPO:
    kwargs = {"memory_kwargs": {"hidden_dim": 5}, "encoder_dim": 7, **policy}
    return MemoryPPO(
        "MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, policy_kwargs=kwargs, device="cpu"
    )


def test_a_class_is_learned_with_saved_and_loaded_where_it_is_named(folder):
    model_with(encoder="flat:Flat")  # imports it
    model = model_with(encoder=sys.modules["flat"].Flat, encoder_options={"times": 2})
    model.learn(16)
    model.save("model")
    obs, _ = gymnasium.make("CartPole-v1").reset(seed=3)
    action, _ = model.predict(obs, deterministic=True)
    del sys.modules["flat"]
    ENCODERS._given.clear()  # as in another process
    with pytest.raises(ValueError, match=r"policy with encoder 'flat:Flat': load it with plugins"):
        MemoryPPO.load("model")
    assert "flat" not in sys.modules
    loaded = MemoryPPO.load("model", plugins=["flat"])
    assert loaded.policy.net.encoder.features_dim == 14
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], action)


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ({"encoder": dict}, "dict is a class and no encoder"),
        ({"encoder": "flat:Flt"}, r"flat has no encoder 'Flt'; did you mean Flat"),
        ({"encoder": "flat:Flat", "encoder_options": {"tmes": 2}}, "^encoder 'flat:Flat' has no o"),
        ({"encoder_options": {"times": 2}}, r"^policy\.encoder_options\.times=2 is not read by"),
    ],
)
def test_a_mistake_is_one_sentence(folder, policy, sentence):
    with pytest.raises(ValueError, match=sentence):
        model_with(**policy)
