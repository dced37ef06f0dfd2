"""An agent of one's own: `agent=a2c:A2C` from the folder of its file."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from own_folder import own_folder
from own_parts import A2C, offer

import memrl
from memrl.agents import BaseAgent
from memrl.agents.registry import AGENTS
from memrl.cli.export import export_run
from memrl.cli.sweep import play
from memrl.config.models import Config
from memrl.errors import RunError
from memrl.pipeline.build import make_agent, make_env
from memrl.run.agent import Agent

__all__ = ["own_folder"]  # a fixture

SMALL = [
    *("env=probe", "env.num=4", "threads=1", "total_steps=128"),
    *("evaluate.episodes=4", "track=off"),
]


@pytest.fixture
def folder(own_folder: Path) -> Path:
    (own_folder / "a2c.py").write_text(A2C)
    return own_folder


def test_its_options_are_keys_with_its_defaults(folder):
    config = memrl.compose([*SMALL, "agent=a2c:A2C", "agent.lr=0.5", "memory=lstm"])
    plain = {"kind": "a2c:A2C", "steps": 16, "lr": 0.5, "gamma": 0.99}
    assert config.agent.model_dump() == plain
    assert config.learner_name == "a2c:A2C-lstm"
    agent = make_agent(config, make_env(config))
    assert isinstance(agent, Agent)
    assert type(agent.policy.core).__name__ == "LSTM"


def test_its_options_are_swept(folder, capfd):
    found = []

    def job(composed):
        found.append(composed.resolve(Config).agent.lr)
        return SimpleNamespace(path=folder / "run", summary={})

    play(["-m", *SMALL, "agent=a2c:A2C", "agent.lr=0.25,0.5"], job, model=Config, as_json=True)
    assert found == [0.25, 0.5]


@pytest.mark.slow
def test_a_run_trains_resumes_evaluates_and_exports_where_its_module_is_named(folder, capsys):
    words = [*SMALL, "agent=a2c:A2C", "run.dir=here"]
    run = memrl.train(memrl.compose(words), style="quiet")
    del sys.modules["a2c"]
    with pytest.raises(RunError, match=r"made with agent\.kind=a2c:A2C: add --plugin a2c"):
        memrl.load("here")
    assert "a2c" not in sys.modules
    agent = memrl.load("here", plugins=["a2c"])
    for name, weight in run.agent.policy.state_dict().items():
        assert torch.equal(weight, agent.policy.state_dict()[name])
    export_run(Path("here"), ["to=step.pt2"])
    assert "out action: int64 [B]" in capsys.readouterr().out
    assert agent.env_steps == 128
    agent.learn(192, lambda row: None)
    assert agent.env_steps == 192


def test_a_package_offers_one_by_name(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    offer(folder, "memrl.agents", mine="a2c:A2C")
    config = memrl.compose([*SMALL, "agent=mine", "agent.steps=8"])
    assert (config.agent.kind, config.agent.steps) == ("mine", 8)
    assert AGENTS.words() == ["mfec", "nec", "plan", "ppo", "r2d2", "mine"]
    assert AGENTS.module_of("mine") is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["agent=a2c:A2C", "agent.lrr=1"], r"unknown key agent\.lrr; did you mean agent\.lr\?"),
        (["agent=a2c:A2C", "agent.lr=0"], "agent.lr=0: it should be greater than 0"),
        (["agent=a2c:A3C"], r"a2c has no agent 'A3C'; did you mean A2C\?"),
        (["agent=a2c:A2CConfig"], "is a class and no agent: an agent is .* from BaseAgent"),
        (["agent=a3c:A2C"], "no module 'a3c'; did you mean a2c"),
        (["agent=a2c"], "unknown agent 'a2c'; write agent=a2c:NAME for a class of a2c"),
        (["agent=ppoo"], r"unknown agent 'ppoo'; did you mean ppo\?"),
        (["agent.kind=a2c:A2C"], "agent.kind=a2c:A2C keeps the options of another: write agent="),
        (["agent=half:Half"], "half:Half is no agent yet: it does not define build, learn, load_s"),
        (["agent=half:Bare"], "options of the agent 'half:Bare': its Config is no class that deri"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence(folder, words, sentence):
    (folder / "half.py").write_text(
        "from a2c import A2C\nfrom memrl.agents import ActsWithMemory\n"
        "class Half(ActsWithMemory): ...\nclass Bare(A2C):\n    Config = dict\n"
    )
    with pytest.raises(ValueError, match=sentence) as caught:
        memrl.compose(words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", AGENTS.names())
def test_built_in_agents_keep_the_same_protocol(name):
    cls = AGENTS.find(name)
    assert issubclass(cls, BaseAgent)
    assert cls.Config().kind == name


@pytest.mark.parametrize("kind", ["mfec", "plan"])
def test_an_agent_without_an_encoder_says_so(kind):
    options = {"encoder": "some:Encoder"}
    config = memrl.compose([f"agent={kind}", "env=probe"])
    policy = config.policy.model_copy(update=options)
    sentence = rf"policy\.encoder=some:Encoder is not read by agent={kind}, which has no network"
    with pytest.raises(ValueError, match=sentence):
        make_agent(config.model_copy(update={"policy": policy}), make_env(config))
