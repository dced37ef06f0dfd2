"""A bonus of one's own: `agent.bonus.kind=change:Change` from the folder of its file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from own_folder import own_folder
from own_parts import CHANGE, offer

import memrl
from memrl.agents.ppo.config import BonusConfig, PPOConfig
from memrl.bonus import BONUSES
from memrl.checkpoint.file import differences
from memrl.errors import RunError
from memrl.pipeline.build import make_agent, make_env
from memrl.pipeline.loading import read_config
from memrl.run.directory import RunDirectory

__all__ = ["own_folder"]  # a fixture

OWN = "agent.bonus.kind=change:Change"
SMALL = ["+run=smoke", "threads=1", "total_steps=256", "evaluate.episodes=4", "track=off"]
OLDER = {  # the keys of every config before a constructor's options were keys
    "kind": "first_visit", "scale": 0.02, "anneal": 4.0e6, "key": None, "capacity": 64,
    "alpha": 0.5, "ridge": 0.1, "feature_dim": 64, "lr": 1.0e-4, "updates": 4,
}  # fmt: skip


@pytest.fixture
def folder(own_folder: Path) -> Path:
    (own_folder / "change.py").write_text(CHANGE)
    return own_folder


def test_it_pays_with_its_options_and_no_others(folder):
    config = memrl.compose([*SMALL, OWN, "agent.bonus.power=0", "agent.bonus.anneal=null"])
    assert config.agent.bonus.model_dump() == {
        "kind": "change:Change", "scale": 0.02, "anneal": None, "key": None, "power": 0.0,
    }  # fmt: skip
    agent = make_agent(config, make_env(config))
    rows = []
    agent.learn(256, lambda row: rows.append(row))
    assert type(agent.collector.bonus) is BONUSES.find("change:Change")
    assert rows[0]["rollout/bonus"] > 0


@pytest.mark.slow
def test_a_run_trains_and_resumes_where_its_module_is_named(folder):
    run = memrl.train(memrl.compose([*SMALL, OWN, "run.dir=here"]), style="quiet")
    last = run.agent.collector.bonus.last.clone()
    del sys.modules["change"]
    with pytest.raises(RunError, match=r"agent\.bonus\.kind=change:Change: add --plugin change"):
        memrl.load("here")
    assert "change" not in sys.modules
    bonus = memrl.load("here", plugins=["change"]).collector.bonus
    assert bool((bonus.last == last).all())


def test_a_package_offers_one_by_name(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    offer(folder, "memrl.bonuses", change="change:Change")
    config = memrl.compose([*SMALL, "agent.bonus.kind=change", "agent.bonus.power=2"])
    assert config.agent.bonus.options == {"power": 2}
    assert BONUSES.origin("change") == "own-parts 1.2"
    assert BONUSES.module_of("change") is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            [OWN, "agent.bonus.powr=2"],
            r"bonus 'change:Change' has no option 'powr'; did you mean power\?",
        ),
        ([OWN, "agent.bonus.capacity=512"], "'change:Change' has no option 'capacity'"),
        ([OWN, "agent.bonus.power=-1"], "option power=-1: .*greater than or equal to 0"),
        (["agent.bonus.kind=change:Chang"], r"change has no bonus 'Chang'; did you mean Change\?"),
        (["agent.bonus.kind=change:Tensor"], "is a class and no bonus: a bonus is .* from Bonus"),
        (["agent.bonus.kind=chang:Change"], "no module 'chang'; did you mean change"),
        (
            ["agent.bonus.kind=first_vist"],
            r"unknown bonus 'first_vist'; did you mean first_visit\?",
        ),
        (["agent.bonus.capcity=3"], r"unknown key agent\.bonus\.capcity; did you mean capacity\?"),
        (["agent.bonus.kind=count", "agent.bonus.capacity=0"], "bonus 'count', option capacity=0"),
        (["agent=r2d2", "agent.bonus.kind=count"], r"unknown key agent\.bonus\.kind"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence(folder, words, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        memrl.compose(["env=probe", *words])
    assert "\n" not in str(caught.value)


def test_a_config_of_an_older_run_is_read_and_its_checkpoints_still_fit(tmp_path):
    plain = memrl.compose([*SMALL]).model_dump(mode="json")
    plain["agent"]["bonus"] = OLDER
    for key in ("encoder", "encoder_options"):
        del plain["policy"][key]
    run = RunDirectory.create(tmp_path / "run", yaml.safe_dump(plain))
    now = read_config(run).model_dump(mode="json", include={"agent", "policy"})
    assert now["agent"]["bonus"] == OLDER
    assert differences({key: plain[key] for key in now}, now) == []


def test_a_bonus_that_reads_few_options_gets_those_alone():
    assert BonusConfig(kind="count", capacity=3).options == {"capacity": 3}
    assert set(BonusConfig(kind="elliptical").options) == {"ridge", "feature_dim", "lr", "updates"}
    assert PPOConfig(bonus=BonusConfig(kind="count", capacity=3)).bonus.options == {"capacity": 3}
