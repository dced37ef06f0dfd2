"""An encoder of one's own: `policy.encoder=flat:Flat` from the folder of its file."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from own_folder import own_folder
from own_parts import FLAT, offer

import memrl
from memrl.cli.sweep import play
from memrl.config.models import Config
from memrl.errors import RunError
from memrl.nn.encoder import ENCODERS, Encoder
from memrl.nn.observation import ObsEncoder
from memrl.pipeline.build import make_agent, make_env
from memrl.policies.backbone import PolicyConfig
from memrl.policies.export import export_step

__all__ = ["own_folder"]  # a fixture

OWN = "policy.encoder=flat:Flat"
SMALL = ["+run=smoke", "threads=1", "total_steps=256", "evaluate.episodes=4", "track=off"]


@pytest.fixture
def folder(own_folder: Path) -> Path:
    (own_folder / "flat.py").write_text(FLAT)
    return own_folder


def test_it_encodes_with_its_options_and_its_statistics_move(folder):
    config = memrl.compose([*SMALL, OWN, "policy.encoder_options.times=2", "policy.encoder_dim=5"])
    assert config.policy.encoder_options == {"times": 2, "squash": True}
    agent = make_agent(config, make_env(config))
    assert type(agent.policy.encoder) is ENCODERS.find("flat:Flat")
    assert agent.policy.core.in_dim == 10
    agent.policy.encoder.update(
        {key: torch.full((3, 4), 7.0) for key in agent.policy.encoder.shapes},
        torch.ones(3, 4, dtype=torch.bool),
    )
    assert float(agent.policy.encoder.largest) == 7.0


@pytest.mark.parametrize("agent", ["r2d2", "nec"])
def test_other_agents_learn_with_it(folder, agent):
    few = {"r2d2": ["agent.replay.fill=0", "agent.batch=2"], "nec": ["agent.warmup=16"]}[agent]
    words = [f"agent={agent}", "env=probe", "env.num=4", "agent.steps=32", OWN, *few]
    config = memrl.compose(words)
    learner = make_agent(config, make_env(config))
    learner.learn(128, lambda metrics: None)
    assert learner.env_steps == 128
    assert isinstance(learner.policy.encoder, Encoder)


@pytest.mark.slow
def test_a_run_trains_resumes_evaluates_and_exports_where_its_module_is_named(folder):
    run = memrl.train(memrl.compose([*SMALL, OWN, "run.dir=here"]), style="quiet")
    del sys.modules["flat"]
    with pytest.raises(RunError, match=r"made with policy\.encoder=flat:Flat: add --plugin flat"):
        memrl.load("here")
    assert "flat" not in sys.modules
    agent = memrl.load("here", plugins=["flat"])
    for name, weight in run.agent.policy.state_dict().items():
        assert torch.equal(weight, agent.policy.state_dict()[name])
    space = agent.collector.env.observation_space
    agent.learn(512, lambda metrics: None)
    assert agent.env_steps == 512
    export_step(agent.policy, space, folder / "policy.pt2")
    assert (folder / "policy.pt2").exists()


@pytest.mark.slow
def test_its_options_are_swept_without_a_plus(folder):
    found = []

    def job(composed):
        found.append(composed.resolve(Config).policy.encoder_options["times"])
        return SimpleNamespace(path=folder / "run", summary={})

    play(["-m", *SMALL, OWN, "policy.encoder_options.times=1,2"], job, model=Config, as_json=True)
    assert found == [1, 2]


def test_a_package_offers_one_by_name(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    offer(folder, "memrl.encoders", flat="flat:Flat")
    config = memrl.compose([*SMALL, "policy.encoder=flat"])
    assert type(make_agent(config, make_env(config)).policy.encoder).__module__ == "flat"
    assert ENCODERS.module_of("flat") is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            [OWN, "policy.encoder_options.tmes=2"],
            r"encoder 'flat:Flat' has no option 'tmes'; did you mean times\? \(options: times, sq",
        ),
        (
            [OWN, "policy.encoder_options.times=0"],
            "encoder 'flat:Flat', option times=0: .*greater than or equal to 1",
        ),
        (["policy.encoder_options.times=2"], r"encoder_options\.times=2 is not read by .*=null"),
        (["policy.encoder=flat:Flt"], r"flat has no encoder 'Flt'; did you mean Flat\?"),
        (["policy.encoder=flat:nn"], "flat:nn is a module and no encoder: an encoder is a class"),
        (["policy.encoder=flat:Tensor"], "is a class and no encoder: .*derives from Encoder"),
        (["policy.encoder=flta:Flat"], "no module 'flta'; did you mean flat"),
        (["policy.encoder=flt"], "unknown encoder 'flt' .policy.encoder=module:Name is your own"),
        (["policy.encoder=flat"], "'flat'; write policy.encoder=flat:NAME for a class of flat"),
        (["policy.encoder=3"], "policy.encoder=3: it should be a valid string"),
        ([OWN, "policy.encoder_options=3"], "policy.encoder_options=3: it should be a valid dict"),
        ([OWN, "policy.cell_dim=3"], "policy.cell_dim=3 is not read by policy.encoder=flat:Flat"),
        ([OWN, "policy.beside=[obs]"], r"policy.beside=\('obs',\) is not read by policy.encoder"),
        ([OWN, "policy.normalise_obs=false"], "policy.normalise_obs=False is not read by policy"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence(folder, words, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        memrl.compose(words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("(size, self", "(size, 1 + self", r"features \[2, 129\] of a batch \[2\]: .* \[2, 128\]"),
        ("self.features_dim", "self.width", r"allowed is \[2, None\], its features_dim last"),
    ],
)
def test_features_of_another_shape_are_refused_before_training(folder, old, new, sentence):
    (folder / "flat.py").write_text(FLAT.replace(old, new))
    config = memrl.compose([*SMALL, OWN])
    with pytest.raises(ValueError, match=sentence):
        make_agent(config, make_env(config))


def test_the_built_in_encoder_keeps_the_same_protocol():
    assert issubclass(ObsEncoder, Encoder)
    assert PolicyConfig().encoder is None
