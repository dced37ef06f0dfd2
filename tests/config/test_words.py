"""Words as people write them: paths that need no inner quotes, and lists that are none."""

from __future__ import annotations

import threading
from pathlib import Path

import hydra
import jaxtyping
import pytest
from hydra.core.global_hydra import GlobalHydra

import memrl
from memrl.cli.arguments import parse
from memrl.cli.compare import CompareOptions
from memrl.cli.export import ExportOptions
from memrl.cli.runs import WatchOptions
from memrl.cli.sweep_axes import axes_of
from memrl.config.composer import CONFIGS
from memrl.config.quoting import with_quotes
from memrl.supervised.config import compose_fit

NAMES = ["s/rün", "s/日本", "s/neu ß", "s/a(1)", "7", "007", "1e3", "true", "a'b", 'say "hi"',
         "a\\", "x\\'y", "[x]", "{a}", "a=b", "50%", "a&b;c", "#1", "~/x", "s/a b",
         "a: b"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_may_have_any_name(name):
    assert memrl.compose([f"run.dir={name}"]).run.dir == Path(name)


@pytest.mark.parametrize("key", ["run.root", "task.folder"])
def test_other_paths_are_taken_as_they_are_too(key):
    config = compose_fit(["task=babi", "task.folder=x", f"{key}=s/neu(1) ß"])
    found = config.run.root if key == "run.root" else Path(config.task["folder"])
    assert found == Path("s/neu(1) ß")


@pytest.mark.parametrize("model", [WatchOptions, CompareOptions, ExportOptions])
@pytest.mark.parametrize("name", [*NAMES, "[a] b.gif"])
def test_the_paths_of_commands_about_runs_may_have_any_name(model, name):
    key = "to" if model is ExportOptions else "out"
    assert getattr(parse(model, [f"{key}={name}"]), key) == Path(name)


def test_what_is_quoted_swept_null_or_another_key_stays_what_it_is():
    words = ["run.dir='a b'", "run.dir=null", "memory=gru,lstm", "seed=range(1,3)", "env.id=a:B-v0",
             "-m", "~env.bank", "agent.lr=1e-3", "run.dir=${run.root}/x"]  # fmt: skip
    assert with_quotes(words) == words


def test_a_sweep_into_such_a_directory_knows_its_jobs():
    axes = axes_of(with_quotes(["run.dir=s/rün(1)", "seed=1,2"]))
    assert axes.jobs == 2
    assert axes.first == ["run.dir='s/rün(1)'", "seed=1"]


def test_a_value_that_is_no_path_is_still_checked():
    with pytest.raises(ValueError, match=r"seed='\(': it should be a valid integer"):
        memrl.compose(["seed=("])


@pytest.fixture
def types_unchecked(monkeypatch):
    """As users run memrl: annotations are not executed."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("+run=smoke", r"\('\+run=smoke'\): a list is wanted, as in .*\['\+run=smoke'\]\)"),
        (None, r"\(None\): a list is wanted"),
        ([3], ": 3 is no word"),
        ([["seed=3"]], r": \['seed=3'\] is no word"),
    ],
)
def test_what_is_no_list_of_words_is_a_sentence(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        memrl.compose(given)
    with pytest.raises(ValueError, match=sentence):
        compose_fit(given)


@pytest.mark.usefixtures("types_unchecked")
def test_words_are_not_a_config():
    with pytest.raises(ValueError, match=r"train\(\['seed=1'\]\): a config is wanted"):
        memrl.train(["seed=1"])


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"num": "5"}, "num is '5', allowed: a whole number, at least 1"),
        ({"num": 1.5}, "num is 1.5, allowed: a whole number"),
        ({"num": True}, "num is True, allowed: a whole number"),
        ({"num": 0}, "num is 0, allowed: at least 1"),
        ({"seed": -1}, "seed is -1, allowed: at least 0 and below 4,294,967,296"),
        ({"seed": 2**32}, "seed is 4294967296, allowed: at least 0"),
        ({"seed": "3"}, "seed is '3', allowed: a whole number"),
    ],
)
@pytest.mark.parametrize("id", ["probe/Recall-v0", "CartPole-v1"])
def test_a_number_of_environments_or_a_seed_that_is_none_is_a_sentence(id, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        memrl.make(id, **arguments)


@pytest.mark.slow
def test_threads_compose_at_the_same_time():
    seeds, ready = {}, threading.Barrier(4)

    def compose(seed):
        ready.wait()
        seeds[seed] = [
            memrl.compose([f"seed={seed}", "env.agent_view_size=5"]).seed for _ in range(3)
        ]

    threads = [threading.Thread(target=compose, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seeds == {seed: [seed] * 3 for seed in range(4)}


def test_a_hydra_app_composes_and_is_left_as_it_was():
    with hydra.initialize_config_module(CONFIGS, version_base="1.3"):
        own = GlobalHydra.instance().hydra
        assert memrl.compose(["seed=3"]).seed == 3
        assert GlobalHydra.instance().hydra is own
    assert not GlobalHydra.instance().is_initialized()


def test_a_group_of_the_other_command_is_named_with_it():
    with pytest.raises(ValueError, match=r"memrl train has no task: .* memrl fit teaches a memory"):
        memrl.compose(["task=copy"])
    with pytest.raises(ValueError, match=r"run is not chosen yet: write \+run=NAME"):
        memrl.compose(["run=smoke"])
