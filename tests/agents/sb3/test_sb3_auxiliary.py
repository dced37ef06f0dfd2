"""`MemoryPPO` trains its memory with an auxiliary loss, and saves the heads."""

from __future__ import annotations

import pytest
import torch
from gymnasium import spaces
from small_models import STEPS, Sampled, copies, logged, make_model, parameters

from memrl.agents.sb3 import MemoryPPO

SYMBOLS = spaces.Discrete(5)


def recalls(distance: int = 2, **more):
    auxiliary = {"kind": "recall", "distance": distance}
    env = copies(lambda: Sampled(SYMBOLS))
    return make_model(env, policy={"auxiliary": auxiliary}, **more)


def test_it_is_logged_and_its_heads_learn():
    model = recalls()
    before = [p.detach().clone() for p in model.policy.auxiliary.parameters()]
    rows = logged(model)
    model.learn(4 * STEPS)
    assert rows[-1]["train/auxiliary"] > 0
    assert 0 <= rows[-1]["train/auxiliary_accuracy"] <= 1
    after = list(model.policy.auxiliary.parameters())
    assert not any(torch.equal(p, q) for p, q in zip(before, after, strict=True))


def test_a_loaded_model_learns_on_bit_for_bit(tmp_path):
    model = recalls()
    model.learn(2 * STEPS)
    model.save(tmp_path / "model")
    loaded = MemoryPPO.load(tmp_path / "model", copies(lambda: Sampled(SYMBOLS)))
    torch.testing.assert_close(parameters(loaded), parameters(model), rtol=0, atol=0)
    before, after = (m.learner.optimizer.state_dict() for m in (model, loaded))
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    for each in (model, loaded):
        each.set_env(copies(lambda: Sampled(SYMBOLS)))
        each.seed = 5
        each.set_random_seed(5)
        each.learn(2 * STEPS)
    torch.testing.assert_close(parameters(loaded), parameters(model), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("recall", "auxiliary='recall', allowed: a dict"),
        ({"kind": "recal"}, "auxiliary, option kind='recal': .*did you mean recall"),
        ({"kind": "predict", "distance": 3}, "auxiliary.distance=3 is not read by .*kind=predict"),
        ({"wieght": 3.0}, "auxiliary has no option 'wieght'; did you mean weight"),
        ({"kind": "recall"}, r"distance=8, allowed: below 8, since a chunk has 8 env steps \(bptt"),
    ],
)
def test_wrong_options_are_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_model(policy={"auxiliary": given})


def test_chunks_that_become_too_short_are_refused():
    model = recalls(distance=5)
    with pytest.raises(ValueError, match="distance=5, allowed: below 4, since a chunk"):
        model.n_steps = 4
