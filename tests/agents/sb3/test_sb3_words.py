"""SB3's and RecurrentPPO's words for a policy mean what they mean there, and are saved."""

from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_models import BOX, STEPS, Sampled, copies, make_model, parameters
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
)
from torch import nn

from memrl.agents.sb3 import MemoryPPO
from memrl.agents.sb3.plugins import ACTIVATIONS
from memrl.nn.pixels import PixelEncoder
from memrl.policies.backbone import Stacked
from memrl.policies.critic import TwoMemories

PER = 2 * STEPS
OWN = {"encoder_dim": None, "head_dim": None}
PICTURE = spaces.Box(0, 255, (40, 36, 3), np.uint8)


class Doubling(BaseFeaturesExtractor):
    """Twice the observation, and a learned scale."""

    def __init__(self, observation_space, factor=2.0):
        super().__init__(observation_space, observation_space.shape[0])
        self.factor = factor
        self.scale = nn.Parameter(torch.ones(observation_space.shape[0]))

    def forward(self, x):
        return self.factor * x * self.scale


def linears(module):
    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return [(layer.in_features, layer.out_features) for layer in layers]


def test_a_features_extractor_is_built_learned_saved_and_loaded(tmp_path):
    words = {"features_extractor_class": Doubling, "features_extractor_kwargs": {"factor": 3.0}}
    model = make_model(policy=OWN | words).learn(PER)
    assert model.policy.features_dim == 4
    extractor = model.policy.net.encoder.extractor
    assert not extractor.scale.equal(torch.ones(4))
    model.save(tmp_path / "m")
    loaded = MemoryPPO.load(tmp_path / "m")
    assert loaded.policy.net.encoder.extractor.factor == 3.0
    assert parameters(loaded).equal(parameters(model))


def test_a_class_that_is_not_imported_must_be_named(tmp_path, monkeypatch):
    module = types.ModuleType("own_waves")
    module.Wave = type("Wave", (nn.Tanh,), {"__module__": "own_waves"})
    monkeypatch.setitem(sys.modules, "own_waves", module)
    make_model(policy={"activation_fn": module.Wave}).save(tmp_path / "m")
    assert MemoryPPO.load(tmp_path / "m").policy.options["activation_fn"] == "own_waves:Wave"
    monkeypatch.delitem(sys.modules, "own_waves")
    monkeypatch.setattr(ACTIVATIONS, "_given", {})
    with pytest.raises(ValueError, match=r"activation_fn 'own_waves:Wave': load it with plugins="):
        MemoryPPO.load(tmp_path / "m")


@pytest.mark.slow
def test_a_file_names_the_module_of_a_class_and_runs_nothing_of_it(tmp_path):
    (tmp_path / "own_words.py").write_text(
        "import torch\n"
        "print('imported')\n"
        "class Wave(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.sin(x)\n"
    )
    program = (
        "import sys, numpy as np; sys.path.insert(0, '.')\nfrom memrl.agents.sb3 import MemoryPPO\n"
    )
    save = (
        "from own_words import Wave\n"
        "kwargs = {'memory': 'gru', 'activation_fn': Wave}\n"
        "MemoryPPO('MlpPolicy', 'CartPole-v1', policy_kwargs=kwargs).save('m')\n"
    )
    load = (
        "try:\n    MemoryPPO.load('m')\n"
        "except ValueError as error:\n    print(error)\n"
        "MemoryPPO.load('m', plugins=['own_words'])\n"
    )
    for words, printed in (
        (save, "imported"),
        (load, "activation_fn 'own_words:Wave': load it with"),
    ):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program + words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert printed in done.stdout
        assert done.stdout.count("imported\n") == 1


def test_classes_of_torch_need_no_naming(tmp_path):
    words = {"activation_fn": nn.ELU, "optimizer_class": torch.optim.RMSprop}
    model = make_model(policy=words | {"optimizer_kwargs": {"alpha": 0.5}})
    model.learn(PER).save(tmp_path / "m")
    loaded = MemoryPPO.load(tmp_path / "m")
    assert isinstance(loaded.policy.optimizer, torch.optim.RMSprop)
    assert loaded.policy.optimizer.param_groups[0]["alpha"] == 0.5
    assert any(isinstance(part, nn.ELU) for part in loaded.policy.net.actor_body)


@pytest.mark.parametrize(
    ("net_arch", "actor", "critic"),
    [
        ([11, 7], [(5, 11), (11, 7)], [(5, 11), (11, 7)]),
        ({"pi": [11], "vf": [7, 3]}, [(5, 11)], [(5, 7), (7, 3)]),
        ([], [], []),
        ([{"pi": [2], "vf": []}], [(5, 2)], []),
    ],
    ids=str,
)
def test_net_arch_says_what_lies_behind_the_memory(net_arch, actor, critic):
    net = make_model(policy=OWN | {"net_arch": net_arch}).policy.net
    assert linears(net.actor_body) == actor
    assert linears(net.critic_body) == critic
    kinds = {type(part) for part in net.actor_body if not isinstance(part, nn.Linear)}
    assert kinds <= {nn.Tanh}
    assert net.critic.in_features == (critic[-1][1] if critic else 5)


def test_initial_weights_are_orthogonal_unless_told_otherwise():
    def is_orthogonal(model):
        w = model.policy.net.actor_body[0].weight
        return torch.allclose(w.T @ w, 2 * torch.eye(5), atol=1e-5)

    words = OWN | {"net_arch": [11]}
    assert is_orthogonal(make_model(policy=words))
    plain = make_model(policy=words | {"ortho_init": False})
    assert not is_orthogonal(plain)
    assert plain.policy.action_net.weight.std() > 0.1  # 0.01 times an orthogonal one otherwise


def test_the_spread_of_actions_begins_as_told():
    env = copies(lambda: Sampled(BOX, spaces.Box(-1, 1, (2,))))
    assert make_model(env, policy={"log_std_init": -2.0}).policy.log_std.tolist() == [-2, -2]


@pytest.mark.parametrize(("normalize", "brightest"), [(True, 255.0), (False, 1.0)])
def test_pictures_are_scaled_unless_told_otherwise(normalize, brightest):
    env = copies(lambda: Sampled(PICTURE))
    own = make_model(env, policy={"normalize_images": normalize}).policy.net.encoder
    (pixels,) = (part for part in own.modules() if isinstance(part, PixelEncoder))
    assert pixels.brightest == brightest
    words = OWN | {"features_extractor_class": FlattenExtractor, "normalize_images": normalize}
    model = make_model(env, policy=words)
    image = torch.full((2, 40, 36, 3), 51, dtype=torch.uint8)
    features = model.policy.net.encoder({"obs": image})
    torch.testing.assert_close(features, torch.full((2, 40 * 36 * 3), 51 / brightest))


def test_two_feature_extractors_serve_actor_and_critic():
    words = {"features_extractor_class": Doubling, "share_features_extractor": False}
    net = make_model(policy=OWN | words | {"critic": "own"}).learn(PER).policy.net
    assert net.core.split
    assert not net.encoder.both[0].extractor.scale.equal(net.encoder.both[1].extractor.scale)


@pytest.mark.parametrize("extractor", [NatureCNN, CombinedExtractor])
def test_sb3s_extractors_read_pictures_and_dicts(extractor):
    space = spaces.Dict({"see": PICTURE, "say": spaces.Discrete(3), "feel": BOX})
    space = PICTURE if extractor is NatureCNN else space
    model = make_model(copies(lambda: Sampled(space)), policy=OWN | {
        "features_extractor_class": extractor, "net_arch": []
    })  # fmt: skip
    model.learn(PER)


def recurrent(policy="MlpLstmPolicy", env=None, **words):
    sizes = {"n_steps": 8, "batch_size": 8, "n_epochs": 1, "device": "cpu"}
    return MemoryPPO(policy, env or copies(), policy_kwargs=words or None, **sizes)


def test_recurrent_ppos_policies_are_built_as_there(tmp_path):
    model = recurrent(lstm_hidden_size=16, n_lstm_layers=2)
    net = model.policy.net
    assert isinstance(net.core, TwoMemories)
    assert isinstance(net.core.actor, Stacked)
    assert net.core.actor.out_dim == net.core.critic.out_dim == 16
    assert isinstance(net.encoder.extractor, FlattenExtractor)
    assert linears(net.actor_body) == linears(net.critic_body) == [(16, 64), (64, 64)]
    model.learn(PER).save(tmp_path / "m")
    assert parameters(MemoryPPO.load(tmp_path / "m")).equal(parameters(model))
    for nothing in ({}, {"memory_kwargs": None}):
        assert recurrent(**nothing).policy.net.core.actor.out_dim == 256


def test_its_forget_gates_start_half_open_as_torchs_do():
    def forget_bias(**words):
        actor = recurrent(lstm_hidden_size=8, **words).policy.net.core.actor
        return actor.bias[8:16].tolist()

    assert forget_bias() == [0.0] * 8
    assert forget_bias(memory_kwargs={"forget_bias": 2.0}) == [2.0] * 8
    assert forget_bias(lstm_kwargs={"forget_bias": 2.0}) == [2.0] * 8


@pytest.mark.parametrize(
    ("words", "critic"),
    [
        ({}, "own"),
        ({"enable_critic_lstm": False}, "none"),
        ({"shared_lstm": True, "enable_critic_lstm": False}, "detached"),
        ({"critic": "shared"}, "shared"),
    ],
    ids=str,
)
def test_the_words_for_the_critics_memory(words, critic):
    model = recurrent(lstm_hidden_size=8, **words)
    assert model.policy.net.critic_reads == critic
    model.learn(PER)


def test_the_policies_for_pictures_and_dicts():
    cnn = recurrent("CnnLstmPolicy", copies(lambda: Sampled(PICTURE)), lstm_hidden_size=8)
    assert isinstance(cnn.policy.net.encoder.extractor, NatureCNN)
    assert linears(cnn.policy.net.actor_body) == []
    space = spaces.Dict({"a": BOX, "b": spaces.Discrete(3)})
    both = recurrent("MultiInputLstmPolicy", copies(lambda: Sampled(space)), lstm_hidden_size=8)
    assert both.policy.features_dim == 7
    with pytest.raises(ValueError, match="MultiInputLstmPolicy"):
        recurrent("MlpLstmPolicy", copies(lambda: Sampled(space)))


def test_any_memory_stands_behind_recurrent_ppos_names():
    net = recurrent(memory="gru", memory_kwargs={"hidden_dim": 7}).policy.net
    assert type(net.core.actor).__name__ == "GRU"
    assert net.core.critic.out_dim == 7


def test_an_option_that_the_lstm_lacks_is_named():
    with pytest.raises(ValueError, match="memory 'lstm' has no option 'dropout'"):
        recurrent(lstm_kwargs={"dropout": 0.1})


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (spaces.Box(0, 1, (16, 16, 3), np.float32), "PixelEncoder"),
        (spaces.Box(0, 1, (16, 16, 9), np.float32), "VectorEncoder"),
        (spaces.Box(-1, 1, (16, 16, 3), np.float32), "VectorEncoder"),
        (spaces.Box(0, 1, (2, 3, 4), np.float32), "VectorEncoder"),
        (spaces.Box(0, 255, (2, 3, 4, 5), np.uint8), "VectorEncoder"),
        (spaces.Box(-1, 1, (2, 1, 2, 1, 3), np.float64), "VectorEncoder"),
    ],
    ids=str,
)
def test_boxes_of_any_number_of_axes_have_an_encoder(space, kind):
    model = make_model(copies(lambda: Sampled(space))).learn(PER)
    assert type(model.policy.net.encoder.parts[0]).__name__ == kind
