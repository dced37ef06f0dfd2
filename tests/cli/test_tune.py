"""memrl tune: what it refuses, what it prints, and searches in a cluster of this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memrl.cli.main import main
from memrl.cli.tune_report import conclude, next_commands, trials_table
from memrl.cluster.search import Trial
from memrl.cluster.trial import Search, TuneReporter, trial_name
from memrl.config.search_space import split_space
from memrl.errors import Interrupted, RunError, install_command
from memrl.run.reporter import Reporter, Saved

WORDS = ["+run=smoke", "memory=gru", "memory.hidden_dim=7,11", "agent.lr=interval(1e-4,1e-3)"]
SMALL = ["env.num=4", "agent.steps=16", "agent.bptt=16", "total_steps=1152",
         "evaluate.episodes=4", "run.pictures=false", "track.tensorboard=false"]  # fmt: skip
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason=f"needs Ray: {install_command('ray')}"
)


def search(root):
    return Search(
        space=split_space(WORDS), root=Path(root), trials=4, total_steps=1152, grace=128,
        reduction=3, seed=1, cpus=1, gpus=0.0,
    )  # fmt: skip


def trial(number, state, score=None, fault=None):
    evaluated = score if state == "finished" else None
    words = [f"memory.hidden_dim={number}"]
    return Trial(f"trial-{number}", words, Path(f"s w/trial-{number}"), state, 128, score,
                 evaluated, evaluated, fault)  # fmt: skip


ENDED = [trial(1, "finished", 0.25), trial(2, "stopped", 0.75), trial(3, "finished", 0.5),
         trial(4, "failed", None, "bptt=5: no")]  # fmt: skip


def told(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["memrl", "tune", *words])
    with pytest.raises(SystemExit) as exit:
        main()
    return exit.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["memory=gru"], "memrl: a search varies nothing yet"),
        ([*WORDS, "trials=0"], "memrl: trials=0"),
        ([*WORDS, "-m"], "memrl: memrl tune takes no -m: it draws by itself, trials=N times"),
        ([*WORDS, "run.dir=x"], "memrl: memrl tune takes no run.dir=x: root= and cpus= choose it"),
        ([*WORDS, "agent.gamma=0.9,2"], "memrl: agent.gamma=2"),
        ([*WORDS, "agent.lrr=1,2"], "memrl: unknown key agent.lrr; did you mean agent.lr?"),
    ],
)
def test_a_mistake_is_one_sentence(monkeypatch, capsys, words, said):
    code, error = told(monkeypatch, capsys, words)
    assert code == 1
    assert error.startswith(said)
    assert error.count("\n") == 1


def test_without_ray_the_sentence_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, error = told(monkeypatch, capsys, WORDS)
    assert code == 1
    assert error == (
        f"memrl: ray.tune needs ray, which is not installed: {install_command('ray')}\n"
    )


def test_the_table_begins_with_the_best_trial_that_was_not_stopped():
    head, *rows = trials_table(ENDED, width=200).splitlines()
    assert head.split() == ["trial", "success", "return", "env", "steps", "ended", "directory"]
    assert [row.split()[0].partition("=")[2] for row in rows] == ["3", "1", "2", "4"]
    assert "stopped at 0.75" in rows[2]
    assert "failed: bptt=5: no" in rows[3]


def test_the_best_trial_is_told_as_a_command():
    train, watch, compare = next_commands(search("s w"), ENDED[2])
    assert shlex.split(train.partition("memrl")[2]) == [
        "train", "+run=smoke", "memory=gru", "memory.hidden_dim=3"
    ]  # fmt: skip
    assert watch.endswith("memrl watch 's w/trial-3'")
    assert compare.endswith("memrl compare 's w'")


def test_a_search_that_was_stopped_says_how_to_go_on(tmp_path, capsys):
    left = [*ENDED[:3], trial(4, "left")]
    with pytest.raises(Interrupted, match="stopped after 3 of 4 trials; continue with: again"):
        conclude(search(tmp_path), left, "again", signum=15, as_json=True)
    written = json.loads((tmp_path / "trials.json").read_text())
    assert json.loads(capsys.readouterr().out) == written
    assert [one["state"] for one in written] == ["finished", "stopped", "finished", "left"]


def test_a_search_without_a_finished_trial_says_why(tmp_path):
    with pytest.raises(RunError, match="no trial came to its end; trial-4: bptt=5: no"):
        conclude(search(tmp_path), [ENDED[3]] * 4, "again", signum=15, as_json=True)


def test_trials_count_from_one():
    assert [trial_name(f"a1b2c_{n:05d}") for n in (0, 9)] == ["trial-1", "trial-10"]


def test_a_trial_saves_where_it_may_be_stopped():
    reporter = TuneReporter(grace=10, total=100)
    assert isinstance(reporter, Reporter)
    seen = [7, 14, 19, 21, 30]
    due = [reporter.is_due(*pair) for pair in zip([0, *seen], seen, strict=False)]
    assert due == [False, True, False, True, True]


def test_a_score_that_nobody_knows_is_not_reported():
    TuneReporter(grace=10, total=100).saved(Saved(Path("x"), 20, None, {}))  # would need Ray


def tune(folder, *words):
    """``memrl tune`` in a process of its own."""
    command = [sys.executable, "-m", "memrl", "tune", *WORDS, *SMALL, "root=s", *words]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def ended(process):
    out, error = process.communicate(timeout=600)
    return process.returncode, out, error


def lock_of(folder, name):
    """The process that trains a trial, once it has a checkpoint."""
    run = folder / "s" / name
    while not any((run / "checkpoints").glob("*")):
        time.sleep(0.1)
    return int((run / "run.lock").read_text())


@needs_ray
@pytest.mark.slow
def test_a_search_finishes_some_trials_and_stops_the_others(tmp_path):
    code, out, error = ended(tune(tmp_path, "trials=8", "env.cues=2,31"))
    assert code == 0, error
    trials = json.loads((tmp_path / "s" / "trials.json").read_text())
    states = [one["state"] for one in trials]
    assert len(trials) == 8
    assert {*states} == {"finished", "stopped"}
    for one in trials:
        path = Path(one["path"])
        assert (path / "summary.json").exists() == (one["state"] == "finished")
        assert any((path / "checkpoints").iterdir())
    assert "the best of them  memrl train +run=smoke memory=gru" in out
    assert "Traceback" not in error

    began = (tmp_path / "s" / "trials.json").stat().st_mtime
    code, again, error = ended(tune(tmp_path, "trials=8", "env.cues=2,31"))
    assert code == 0, error
    assert again.splitlines()[-12:] == out.splitlines()[-12:]
    assert (tmp_path / "s" / "trials.json").stat().st_mtime > began

    code, _, error = ended(tune(tmp_path, "trials=9", "env.cues=2,31"))
    assert (code, error) == (1, f"memrl: root={tmp_path}/s holds another search, with trials=8: "
                                "choose another root\n")  # fmt: skip


@needs_ray
@pytest.mark.slow
def test_a_trial_whose_process_is_killed_goes_on(tmp_path):
    process = tune(tmp_path, "trials=1", "total_steps=20000", "run.checkpoint_seconds=0.1")
    os.kill(lock_of(tmp_path, "trial-1"), signal.SIGKILL)
    code, _, error = ended(process)
    assert code == 0, error
    (one,) = json.loads((tmp_path / "s" / "trials.json").read_text())
    assert (one["state"], one["env_steps"]) == ("finished", 20032)


@needs_ray
@pytest.mark.slow
def test_sigterm_stops_a_search_as_ctrl_c_does(tmp_path):
    process = tune(tmp_path, "trials=2", "total_steps=20000", "run.checkpoint_seconds=0.1")
    trial = lock_of(tmp_path, "trial-1")
    process.send_signal(signal.SIGTERM)
    code, _, error = ended(process)
    assert code == 143, error
    assert "stopped after 0 of 2 trials; continue with: memrl tune +run=smoke" in error
    with pytest.raises(ProcessLookupError):
        os.kill(trial, 0)


@needs_ray
@pytest.mark.slow
def test_ctrl_c_stops_all_trials_and_the_same_command_goes_on(tmp_path):
    process = tune(tmp_path, "trials=2", "total_steps=20000", "run.checkpoint_seconds=0.1")
    lock_of(tmp_path, "trial-1")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    code, _, error = ended(process)
    assert code == 130, error
    assert "stopped after 0 of 2 trials; continue with: memrl tune +run=smoke" in error
    code, out, error = ended(tune(tmp_path, "trials=2", "total_steps=20000",
                                  "run.checkpoint_seconds=0.1"))  # fmt: skip
    assert code == 0, error
    assert "going on with the search in" in out
