"""Networks, optimisers and layers of their own that SB3's users bring along."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import BOX, STEPS, Sampled, copies, make_model, parameters
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from suites import slow
from torch import nn

from memrl.agents.sb3 import MemoryPolicy, MemoryPPO

PER = 2 * STEPS
OWN = {"encoder_dim": None, "head_dim": None}


class Moving(BaseFeaturesExtractor):
    """Keeps running statistics and drops half of what it reads, in training only."""

    def __init__(self, observation_space):
        super().__init__(observation_space, observation_space.shape[0])
        self.norm = nn.BatchNorm1d(self.features_dim)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.norm(x))


def moving(masks=False, **given):
    class Masked(Sampled):
        def action_masks(self):
            return [True, False, True]

    words = OWN | {"features_extractor_class": Moving, "net_arch": [4]}
    return make_model(copies(Masked if masks else Sampled), policy=words, **given)


def statistics(model):
    norm = model.policy.features_extractor.extractor.norm
    return norm.bias.detach().clone(), norm.running_mean.clone()


@pytest.mark.parametrize("masks", [False, True])
def test_running_statistics_move_in_updates(masks):
    model = moving(masks)
    before = statistics(model)
    after = statistics(model.learn(PER))
    assert not any(torch.isclose(a, b).any() for a, b in zip(before, after, strict=True))


def test_running_statistics_and_dropout_rest_in_rollouts():
    model = moving()
    before = statistics(model)
    _, callback = model._setup_learn(2 * PER)
    for _ in range(2):
        model.collect_rollouts(model.get_env(), callback, model.rollout_buffer, model.n_steps)
    assert all(a.equal(b) for a, b in zip(before, statistics(model), strict=True))


@pytest.mark.parametrize("masks", [False, True])
def test_running_statistics_and_dropout_rest_in_predict(masks):
    model = moving(masks).learn(PER)
    before = statistics(model)
    given = {"action_masks": np.array([[True, False, True]] * 3)} if masks else {}
    obs, start = np.stack([BOX.sample()] * 3), np.ones(3, bool)
    actions = [model.predict(obs, None, start, deterministic=True, **given)[0] for _ in range(5)]
    assert len({tuple(action) for action in actions}) == 1
    assert all(a.equal(b) for a, b in zip(before, statistics(model), strict=True))


@pytest.mark.parametrize(
    "net_arch",
    [
        slow([4, 4]),
        {"vf": [8, 4], "pi": [8]},
        slow({"vf": [8], "pi": [8, 4]}),
        {"pi": [8]},
        [{"vf": [8]}],
        slow([{"vf": [8], "pi": [4]}]),
    ],
    ids=str,
)
def test_any_widths_are_learned_with(net_arch):
    model = make_model(policy=OWN | {"net_arch": net_arch})
    before = parameters(model)
    assert not before.equal(parameters(model.learn(PER)))


@pytest.mark.parametrize(
    ("cls", "kwargs"),
    [
        (torch.optim.AdamW, None),
        slow(torch.optim.AdamW, {"weight_decay": 0.0}),
        slow(RMSpropTFLike, None),
        (RMSpropTFLike, {"weight_decay": 0.0}),
    ],
)
def test_any_optimiser_learns_and_goes_on_from_a_file(cls, kwargs, tmp_path):
    model = make_model(policy={"optimizer_class": cls, "optimizer_kwargs": kwargs}).learn(PER)
    model.save(tmp_path / "m")
    loaded = MemoryPPO.load(tmp_path / "m", copies())
    assert type(loaded.policy.optimizer) is cls
    one, other = (m.policy.optimizer.state_dict()["state"][0] for m in (model, loaded))
    assert all(torch.equal(torch.as_tensor(one[k]), torch.as_tensor(other[k])) for k in one)
    loaded.learn(PER)


def test_a_policy_that_overrides_what_learning_does_not_call_is_refused():
    class Constant(MemoryPolicy):
        def forward(self, *args, **kwargs):
            actions, values, *rest = super().forward(*args, **kwargs)
            return (actions, torch.ones_like(values), *rest)

    with pytest.raises(
        ValueError, match="Constant overrides forward, which learning does not call"
    ):
        MemoryPPO(Constant, copies(), n_steps=8, batch_size=8)


def test_a_policy_of_ones_own_may_add_to_it():
    class Named(MemoryPolicy):
        title = "mine"

        def shout(self):
            return self.title.upper()

    model = MemoryPPO(Named, copies(), n_steps=8, batch_size=8, device="cpu").learn(PER)
    assert model.policy.shout() == "MINE"
