"""An option that would change nothing is refused, and the sentence says what would read it."""

from __future__ import annotations

import pytest
from small_fits import NEEDED

import memrl
from memrl.cli.arguments import parse
from memrl.cli.runs import WatchOptions
from memrl.options import what_is_read
from memrl.pipeline.build import make_agent, make_env
from memrl.supervised.config import build_task, compose_fit
from memrl.supervised.fitting import make_learner


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["curriculum.growth=1"], r"growth=1 is not read by curriculum.kind=uniform \(.*by grow"),
        (["curriculum.threshold=0.5"], "threshold=0.5 is not read by curriculum.kind=uniform"),
        (["track.project=mine"], r"track.project=mine is not read by track.wandb=disabled \("),
    ],
)
def test_a_supervised_run_refuses_what_it_would_not_read(words, sentence):
    with pytest.raises(ValueError, match=sentence):
        compose_fit(words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["agent.epochs=1", "agent.refresh_states=true"], "refresh_states=True is not read with"),
        (
            ["agent=r2d2", "agent.replay.alpha=0", "agent.replay.beta=0.1"],
            r"agent.replay.beta=0.1 is not read by agent.replay.alpha=0 \(it is by any above 0\)",
        ),
        (
            ["agent=r2d2", "agent.replay.alpha=0", "agent.replay.eta=0.1"],
            "agent.replay.eta=0.1 is not read",
        ),
    ],
)
def test_an_agent_refuses_what_it_would_not_read(words, sentence):
    with pytest.raises(ValueError, match=sentence):
        memrl.compose(words)


@pytest.mark.parametrize("kind", ["mfec", "plan"])
@pytest.mark.parametrize(
    "word", ["policy.encoder_dim=64", "policy.normalise_obs=false", "memory.hidden_dim=64"]
)
def test_an_agent_without_a_network_refuses_its_options(word, kind):
    config = memrl.compose([f"agent={kind}", "env=probe", word])
    key, _, value = word.partition("=")
    with pytest.raises(ValueError, match=rf"(?i){key}={value} is not read by agent={kind}"):
        make_agent(config, make_env(config))


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("evaluate.lengths=[3]", r"evaluate.lengths=\[3\] is not read by task=babi, which has a t"),
        ("curriculum.kind=grow", "curriculum.kind=grow: task=babi has one length"),
    ],
)
def test_a_task_with_files_has_no_lengths_to_choose(word, sentence):
    config = compose_fit(["task=babi", *NEEDED["babi"], word])
    with pytest.raises(ValueError, match=sentence):
        build_task(config)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["task.reading=bag", "task.embed_dim=7"], r"embed_dim=7 is not read by task.reading=bag"),
        (["task.linear_start=3"], r"task.linear_start=3 is not read by GRU \(it is by memory=memn"),
    ],
)
def test_babi_refuses_what_neither_its_reading_nor_the_memory_reads(words, sentence):
    config = compose_fit(["task=babi", *NEEDED["babi"], "memory=gru", *words])
    with pytest.raises(ValueError, match=sentence):
        make_learner(config)


@pytest.mark.parametrize(
    "words",
    [
        ["memory=gru", "task.linear_start=0"],  # what it does without it
        ["memory=gru", "task.embed_dim=7"],
        ["memory=memn2n", "task.linear_start=3"],
        ["memory=memn2n"],
    ],
)
def test_babi_takes_what_is_read(words):
    assert make_learner(compose_fit(["task=babi", *NEEDED["babi"], *words]))


def keys(group):
    return {k for k in group if k != "kind"}


ALL = {"scale", "anneal", "key"}


@pytest.mark.parametrize(
    ("words", "group", "wanted"),
    [
        (["env=probe"], "bonus", set()),
        (["agent.bonus.kind=first_visit"], "bonus", {*ALL, "capacity"}),
        (
            ["agent.bonus.kind=elliptical", "agent.bonus.ridge=0.5"],
            "bonus",
            {*ALL, "ridge", "feature_dim", "lr", "updates"},
        ),
        ([], "self_imitation", set()),
        ([], "auxiliary", set()),
        (["agent.auxiliary.kind=predict"], "auxiliary", {"weight"}),
        (["agent=r2d2", "agent.auxiliary.kind=recall"], "auxiliary", {"weight", "distance"}),
        (["agent=r2d2"], "hindsight", set()),
        (["agent=r2d2", "agent.hindsight.kind=final"], "hindsight", {"share"}),
        (
            ["agent=r2d2", "agent.replay.alpha=0"],
            "replay",
            {"capacity", "fill", "alpha"} | {"memory_limit"},
        ),
    ],
)
def test_what_a_printed_config_holds_is_read(words, group, wanted):
    printed = what_is_read(memrl.compose(words))
    assert keys(printed["agent"][group]) == wanted
    own = [f"agent.{group}.{key}={value}" for key, value in printed["agent"][group].items()]
    said = [word.replace("=None", "=null") for word in own]
    assert memrl.compose([*words, *said]) == memrl.compose(words)


def test_groups_of_every_run_are_printed_as_they_are_read():
    assert what_is_read(memrl.compose([]))["track"].keys().isdisjoint({"project"})
    assert "project" in what_is_read(memrl.compose(["track=wandb"]))["track"]
    assert what_is_read(compose_fit())["curriculum"] == {"kind": "uniform"}
    assert "growth" in what_is_read(compose_fit(["curriculum.kind=grow"]))["curriculum"]


@pytest.mark.parametrize("word", ["episodes=5", "num=3"])
def test_watch_refuses_the_size_of_an_evaluation_that_it_does_not_make(word):
    with pytest.raises(ValueError, match=f"{word} is not read without ablate="):
        parse(WatchOptions, [word])
    assert parse(WatchOptions, [word, "ablate=state"])


def test_what_is_read_is_taken():
    assert compose_fit(["curriculum.kind=grow", "curriculum.growth=1"]).curriculum.growth == 1
    assert memrl.compose(["track=wandb", "track.project=mine"]).track.project == "mine"
