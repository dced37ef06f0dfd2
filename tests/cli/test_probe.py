"""memrl probe: a table, probe.json and probe.png of a run; a sentence for every mistake."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from test_app import memrl, sentence  # noqa: F401  a fixture

import memrl as library
from memrl.cli.probe import notes
from memrl.evaluation.statistics import mean
from memrl.probing.experiments import WIPED, Result

SMALL = ["env.num=2", "agent.steps=8", "agent.bptt=4", "agent.minibatches=1", "total_steps=64",
         "evaluate.episodes=3", "threads=1", "track=off", "run.pictures=false"]  # fmt: skip
NTM = ["memory=ntm", "memory.hidden_dim=7", "memory.slots=5", "memory.word_dim=3"]
RECALL = ["env=probe/Recall-v0", "env.cues=2", "env.delay=2"]


def trained(path, *words):
    made = [*SMALL, *words, f"run.dir={path}"]
    library.train(library.compose(made), style="quiet", say=lambda line: None)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("probed") / "run", *RECALL, *NTM)


def test_it_prints_a_table_and_leaves_a_file_and_a_picture(memrl, run, tmp_path):  # noqa: F811
    outcome = memrl("probe", run, "episodes=53", f"out={tmp_path / 'new'}")
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[0].split()[:2] == ["experiment", "when"]
    for told in (
        "reads silenced",
        "slots of another cue",
        "success of the best policy without a memory: 0.5",
        "53 of 53 episodes",
        "exact: what each step wrote",
        "memrl watch",
    ):
        assert told in outcome.out
    assert (tmp_path / "new" / "probe.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads((tmp_path / "new" / "probe.json").read_text())
    assert told["known"]["memoryless"] == 0.5
    assert (told["checkpoint"]["which"], told["checkpoint"]["env_steps"]) == ("last", 64)
    assert told["checkpoint"]["version"] == library.__version__
    assert told["experiments"][0]["name"] == "undisturbed"
    assert told["reads"]["method"] == "writes"
    assert not (run / "probe.json").exists()
    assert "memrl inspect" not in outcome.out  # which shows the results of the run's folder


def test_its_success_is_that_of_the_same_episodes_undisturbed(memrl, run):  # noqa: F811
    outcome = memrl("probe", run, "episodes=29", "step=2", "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)  # and nothing else is printed there
    evaluated = json.loads(memrl("evaluate", run, "episodes=29", "num=29", "--json").out)
    assert told["experiments"][0]["score"]["mean"] == evaluated["success"]
    assert {entry["when"] for entry in told["experiments"]} == {None, 2}
    assert json.loads((run / "probe.json").read_text()) == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["step=4"], "step=4: the longest of 500 episodes has the steps 0 to 3 (allowed: 1 to 3)"),
        (["step=0"], "allowed: 1 to 3"),
        (["max_steps=3"], "500 of 500 episodes are longer than max_steps=3"),
        (["episodes=9"], "episodes=9"),
        (["gap=4"], "none of 500 episodes has 4 steps after the cue was in view"),
        (["gap=2", "step=2"], "gap=2 is not read with step=2"),
        (["episode=99"], "did you mean episodes?"),
        (["ablate=reads"], "ablate"),
    ],
)
def test_a_mistake_is_a_sentence(memrl, run, words, told):  # noqa: F811
    assert told in sentence(memrl("probe", run, *words))


def test_a_file_is_no_folder_for_results(memrl, run, tmp_path):  # noqa: F811
    (tmp_path / "results").write_text("")
    assert "is a file, allowed: a folder" in sentence(memrl("probe", run, "out=results"))


def test_a_run_without_a_checkpoint(memrl, run, tmp_path):  # noqa: F811
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    assert "has no last checkpoint yet" in sentence(memrl("probe", bare))
    assert "there is no run at nowhere" in sentence(memrl("probe", "nowhere"))


@pytest.mark.slow  # the agent is refused in tests/probing, too
def test_an_agent_that_carries_no_state(memrl, tmp_path):  # noqa: F811
    library.train(
        library.compose(["agent=mfec", *RECALL, "total_steps=64", "env.num=2", "threads=1",
                         "track=off", "run.pictures=false", "run.dir=mfec",
                         "evaluate.episodes=3"]),
        style="quiet", say=lambda line: None,
    )  # fmt: skip
    assert "carries no memory state from step to step" in sentence(memrl("probe", "mfec"))


def test_inspect_shows_the_results(memrl, run):  # noqa: F811
    outcome = memrl("probe", run, "episodes=13", "step=2")
    assert outcome.out.splitlines()[-1].endswith(f"memrl inspect {run}")
    assert memrl("inspect", run, "episodes=1").code == 0
    assert '"meaning":"exact: what each step wrote' in (run / "inspect.html").read_text()


def test_those_that_do_not_look_again_are_told_apart():
    again, others = (mean(values) for values in ([1, 1, 1, 0], [0, 1, 0, 1]))
    result = Result(WIPED, 0.75, mean([1.0]), None, None, again, others, None, 0)
    unseen = result._replace(when=1.0, again=mean([0, 0, 0, 0]))
    here = SimpleNamespace(rows=np.ones(4, bool), measure="success", plain=SimpleNamespace(cue=1),
                           readouts={}, reads=None)  # fmt: skip
    _, line = notes(here, [result, unseen], None, {})
    assert line == (
        f"wiped once, 75%: 75% see the cue again afterwards; success of the others: {others}"
    )


@pytest.mark.slow  # cues are missed in tests/probing, too
def test_an_environment_that_tells_of_no_cue(memrl, tmp_path):  # noqa: F811
    trained(tmp_path / "counting", "env=probe/Counting-v0", "memory=gru", "memory.hidden_dim=7")
    outcome = memrl("probe", "counting", "episodes=11")
    assert outcome.code == 0, outcome.err
    assert "probe/Counting-v0 has no cue" in outcome.out
    told = json.loads((tmp_path / "counting" / "probe.json").read_text())
    assert told["readouts"] == {}
    assert not any("another cue" in entry["name"] for entry in told["experiments"])
