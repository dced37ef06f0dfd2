"""memrl fit from the command line: what a run leaves, that it repeats and resumes bit for bit."""

from __future__ import annotations

import itertools
import json
import math
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_fits import QUICK, SMALL, TINY, rows
from suites import slow_but

from memrl.checkpoint.folder import Checkpoints
from memrl.cli.app import app
from memrl.cli.main import main
from memrl.errors import RunError
from memrl.run.summary import read_summary
from memrl.supervised import fitting
from memrl.supervised.config import compose_fit
from memrl.supervised.evaluation import LengthScore
from memrl.supervised.fitting import fit_task
from memrl.tasks import REGISTRY


@pytest.fixture
def memrl(monkeypatch, capfd, tmp_path):
    """Run a command in an empty folder, in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["memrl", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
        return code, *capfd.readouterr()

    return run


def sentence(outcome: tuple[int, str, str]) -> str:
    """The one line that a mistake prints."""
    code, out, err = outcome
    assert code != 0
    assert "Traceback" not in out + err
    (line,) = [line for line in err.splitlines() if line.startswith("memrl: ")]
    assert "defect" not in line
    return line


def start(run: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "memrl", "fit", *words]
    return subprocess.Popen(
        command, cwd=run.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def test_a_run_leaves_everything_it_promises(memrl, tmp_path):
    words = [word for word in SMALL if word != "track=off"]
    code, out, err = memrl("fit", *words, "sequences=12", "run.dir=here")
    assert code == 0, err
    assert "parameters" in out
    table = out.partition("length  sequences")[2].splitlines()[1:3]
    assert [line.split()[0] for line in table] == ["2", "5"]
    names = {path.name for path in (tmp_path / "here").iterdir()}
    assert names >= {
        "config.yaml", "metrics.csv", "checkpoints", "tensorboard", "curve.png", "lengths.png",
        "memory.png", "summary.json",
    }  # fmt: skip
    summary = json.loads((tmp_path / "here" / "summary.json").read_text())
    assert (summary["task"], summary["memory"], summary["sequences"]) == ("copy", "gru", 12)
    assert [mark["length"] for mark in summary["evaluation"]] == [2, 5]
    assert summary["accuracy"] is None  # length 3, the longest trained on, was not examined
    assert summary["parameters"] == summary["parameters_memory"] + 8 * (7 + 1)
    assert summary["commit"] is None or len(summary["commit"]["sha"]) == 40
    table = rows(tmp_path / "here")
    assert [row["sequences"] for row in table] == ["6", "12"]
    assert {"train/loss", "train/accuracy", "train/length"} <= set(table[0])
    assert not Path("outputs").exists()  # of Hydra


@pytest.mark.slow
def test_json_is_one_value(memrl):
    code, out, _ = memrl("fit", *QUICK, "sequences=6", "run.dir=here", "--json")
    assert code == 0
    assert json.loads(out)["run"] == "here"


@pytest.mark.slow
def test_a_sweep_gives_every_job_a_directory(memrl, tmp_path):
    words = ["fit", "-m", *TINY, "sequences=6", "memory=none,gru", "task=mqar", "run.dir=sweep"]
    assert memrl(*words)[0] == 0
    runs = sorted(path.parent.name for path in tmp_path.glob("sweep/*/summary.json"))
    assert runs == ["mqar-gru-seed1", "mqar-none-seed1"]


DRAWN = [*itertools.product(("copy", "mqar", "ngrams"), ("ntm", "lru", "none"))]


@pytest.mark.parametrize(("task", "memory"), slow_but(DRAWN[8:], DRAWN))
def test_every_kind_of_task_and_memory_is_drawn(tmp_path, memory, task):
    small = ["task.min_length=5", "task.max_length=5", "evaluate.lengths=[5,7]"]
    config = compose_fit([*TINY, *small, f"memory={memory}", f"task={task}", "sequences=12"])
    run = fit_task(config, tmp_path / "run", style="quiet", say=lambda sentence: None)
    for name in ("curve.png", "lengths.png", "memory.png"):
        assert (run.path / name).read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_drawn_costs_nothing_else(monkeypatch, tmp_path):
    def full(*_, **__):
        raise RunError("the disk is full")

    monkeypatch.setattr(fitting, "draw_learning", full)
    told = []
    config = compose_fit([*SMALL, "sequences=6"])
    run = fit_task(config, tmp_path / "run", style="quiet", say=told.append)
    assert "the disk is full" in told
    assert read_summary(run.directory.summary)["sequences"] == 6
    assert run.directory.lengths.exists()


def test_the_summary_of_a_run_is_standard_json(monkeypatch, tmp_path):
    def diverged(*_, **__):
        return [LengthScore(3, 5, 0.5, math.nan, None, None)]

    monkeypatch.setattr(fitting, "evaluate_lengths", diverged)
    config = compose_fit([*SMALL, "sequences=6"])
    run = fit_task(config, tmp_path / "run", style="quiet", say=lambda _: None)
    assert run.summary == read_summary(run.directory.summary)
    assert run.summary["evaluation"][0]["loss"] is None


@pytest.mark.slow
def test_the_same_seed_twice_is_bit_equal_and_another_is_not(tmp_path):
    runs = [
        fit_task(
            compose_fit([*QUICK, "sequences=18", f"seed={seed}"]), tmp_path / name, style="quiet"
        )
        for name, seed in (("one", 1), ("two", 1), ("three", 2))
    ]
    assert rows(runs[0].path) == rows(runs[1].path)
    assert runs[0].summary["evaluation"] == runs[1].summary["evaluation"]
    assert rows(runs[0].path) != rows(runs[2].path)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_rows(tmp_path):
    words = [*SMALL, "sequences=2400", "run.checkpoint_seconds=0.1", "curriculum.kind=grow"]
    words += ["curriculum.threshold=0.5", "learner.lr_end=1e-4"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit_task(compose_fit(words), whole, style="quiet")
    process = start(broken, *words, f"run.dir={broken}")
    while not [*broken.glob("checkpoints/steps-*")]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    app(["fit", "--resume", str(broken)], standalone_mode=False)
    assert rows(broken) == rows(whole)
    summaries = [json.loads((run / "summary.json").read_text()) for run in (whole, broken)]
    assert summaries[0]["evaluation"] == summaries[1]["evaluation"]


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_continue(tmp_path):
    run = tmp_path / "run"
    process = start(run, *QUICK, "sequences=1_000_000", f"run.dir={run}")
    while not (run / "metrics.csv").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert f"memrl fit --resume {run}" in err
    assert Checkpoints(run / "checkpoints").last() is not None


@pytest.mark.slow
def test_resume_changes_nothing_but_the_length(memrl, tmp_path):
    assert memrl("fit", *QUICK, "sequences=6", "run.dir=here")[0] == 0
    assert "only sequences may change, not seed" in sentence(
        memrl("fit", "--resume", "here", "seed=9")
    )
    code, _, err = memrl("fit", "--resume", "here", "sequences=12")
    assert code == 0, err
    assert json.loads((tmp_path / "here" / "summary.json").read_text())["sequences"] == 12


def test_a_run_ends_with_what_could_be_next(memrl):
    code, out, err = memrl("fit", *QUICK, "sequences=6", "run.dir=here")
    assert code == 0, err
    on, other = out.splitlines()[-2:]
    assert on.endswith("memrl fit --resume here sequences=12")
    assert "memory=ntm run.dir=here-ntm && memrl compare here here-ntm" in other
    assert memrl(*shlex.split(on.partition("memrl ")[2]))[0] == 0


@pytest.mark.slow
def test_a_length_that_is_no_whole_number_of_iterations_is_said(memrl):
    _, out, _ = memrl("fit", *QUICK, "sequences=5", "run.dir=here")
    assert "sequences=5 is reached after 1 iteration of 6 sequences" in out


def test_a_command_refuses_the_runs_of_another(memrl):
    assert memrl("fit", *QUICK, "sequences=6", "run.dir=here")[0] == 0
    assert "was made by memrl fit" in sentence(memrl("train", "--resume", "here"))
    refused = sentence(memrl("watch", "here"))
    takers = "memrl evaluate, compare and memrl fit --resume take it"
    assert f"was made by memrl fit: {takers}" in refused
    assert "there is no run at nowhere" in sentence(memrl("fit", "--resume", "nowhere"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["task=cpoy"], "unknown task 'cpoy'; did you mean copy?"),
        (["learner.lrr=1"], "unknown key learner.lrr; did you mean learner.lr?"),
        (["evaluate.lengths=[0]"], "evaluate.lengths=0"),
        (["memory=ntm", "memory.slots=1"], "shift_range is 1; allowed: at most 0 with 1 slots"),
        (["seed"], "write KEY=VALUE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_of_fit(memrl, tmp_path, words, expected):
    assert expected in sentence(memrl("fit", "run.dir=here", *words))
    assert not (tmp_path / "here").exists()


def test_what_has_no_default_is_asked_for(memrl):
    code, _, said = memrl("fit", "task=babi")
    assert (code, said) == (1, "memrl: task.folder has no default: write task.folder=…\n")


def test_tasks_lists_the_menu(memrl):
    assert "copy" in memrl("tasks")[1]
    listed = json.loads(memrl("tasks", "--json")[1])
    assert [entry["name"] for entry in listed] == REGISTRY.names()


def test_config_prints_what_fit_would_do(memrl):
    assert "max_length: 10" in memrl("config", "--fit")[1]
    assert "slots: 64" in memrl("config", "--fit", "memory=ntm", "task=copy")[1]
