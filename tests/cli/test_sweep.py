"""Sweeps: which jobs they consist of, what they print at the end, how they go on when stopped."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.errors import MissingConfigException

from memrl.cli.main import main
from memrl.cli.sweep_axes import axes_of
from memrl.cli.sweep_launcher import jobs_at_once
from memrl.cli.sweep_report import (
    Outcome,
    compare_command,
    outcomes_table,
    print_outcomes,
    raise_failures,
    read_outcomes,
)
from memrl.config.composition import sentence
from memrl.config.models import Config
from memrl.errors import RunError

SMOKE = ["+run=smoke", "threads=1", "total_steps=256", "evaluate.episodes=4",
         "run.pictures=false"]  # fmt: skip
WORDS = ["+run=smoke", "memory=none,gru", "seed=range(1,4)", "run.dir=a b"]


def test_a_sweep_plays_the_product_of_its_words():
    axes = axes_of(["-m", *WORDS])
    assert axes.jobs == 6
    assert axes.first == ["+run=smoke", "memory=none", "seed=1", "run.dir=a b"]


def test_a_job_is_told_by_the_words_that_vary():
    job = ["+run=smoke", "memory=gru", "seed=2", "run.dir=a b"]
    assert axes_of(WORDS).varying(job) == ["memory=gru", "seed=2"]


def test_the_last_word_for_a_key_counts():
    axes = axes_of(["seed=1,2,3", "seed=5"])
    assert (axes.jobs, axes.varying(["seed=5"])) == (1, [])


def test_how_many_jobs_a_search_has_is_not_in_its_words():
    axes = axes_of(["agent.lr=tag(log, interval(0.1, 0.7))", "seed=3"])
    assert axes.jobs is None
    assert axes.first == ["agent.lr=0.1", "seed=3"]


def test_what_a_pattern_matches_is_left_to_hydra():
    axes = axes_of(["memory=glob(ls*)", "seed=1,2"])
    assert (axes.jobs, axes.first) == (None, ["seed=1"])
    assert axes.varying(["memory=lstm", "seed=1"]) == ["memory=lstm", "seed=1"]


def test_words_that_hydra_refuses_are_left_to_it():
    assert axes_of(["no change"]).first == ["no change"]


def outcome(seed, error=None):
    summary = {"success": 0.5, "return": 2.0, "wall_seconds": 61.0}
    path = Path(f"s w/gru-{seed}")
    words = [f"seed={seed}"]
    return Outcome.of_error(words, error) if error else Outcome(words, path, summary, None)


def test_an_outcome_reaches_the_process_that_began_the_sweep(tmp_path):
    outcomes = [outcome(1), outcome(2, ValueError("bptt=5: no"))]
    for number in (2, 1):
        outcomes[number - 1].write(tmp_path, number)
    assert read_outcomes(tmp_path) == outcomes


def test_a_search_tells_its_best_job(capfd):
    worse, better = outcome(1), outcome(2)._replace(summary={"success": 0.7, "wall_seconds": 1.0})
    print_outcomes([worse, better, outcome(3, ValueError("no"))], searched=True, as_json=False)
    (best,) = [line for line in capfd.readouterr().out.splitlines() if "best" in line]
    assert best.split() == ["the", "best", "seed=2", "(s", "w/gru-2)"]


@pytest.mark.parametrize(
    ("summary", "score"),
    [
        ({"success": 0.5, "return": 2.0}, 0.5),
        ({"success": None, "return": 2.0}, 2.0),
        ({"accuracy": 0.7}, 0.7),
        (None, None),
    ],
)
def test_a_search_looks_for_success_or_else_return_or_accuracy(summary, score):
    assert outcome(1)._replace(summary=summary).score == score


def test_the_table_of_a_sweep_has_a_row_for_each_job():
    text = outcomes_table([outcome(1), outcome(2, ValueError("bptt=5: no"))], width=80)
    head, one, two = text.splitlines()
    assert head.split() == ["job", "success", "return", "time", "directory"]
    assert one.split() == ["seed=1", "50.0%", "2", "61", "s", "s", "w/gru-1"]
    assert two.split() == ["seed=2", "–", "–", "–", "failed:", "bptt=5:", "no"]


def test_failed_jobs_are_counted_and_the_first_is_told():
    raise_failures([outcome(1)])
    bad = ValueError("bptt=5: no")
    with pytest.raises(RunError, match=r"^1 of 2 jobs failed: seed=2: bptt=5: no\n"):
        raise_failures([outcome(1), outcome(2, bad)])
    with pytest.raises(RunError, match=r"^2 of 2 jobs failed, the first: seed=3: KeyError"):
        raise_failures([outcome(3, KeyError("x")), outcome(2, bad)])


def test_runs_are_compared_by_their_folder_where_it_holds_no_others(tmp_path):
    runs = [tmp_path / "s w" / name for name in ("a", "b", "c")]
    for run in runs:
        run.mkdir(parents=True)
        (run / "config.yaml").touch()
    folder = shlex.quote(str(tmp_path / "s w"))
    assert compare_command(runs) == f"memrl compare {folder}"
    assert shlex.split(compare_command(runs[:2])) == ["memrl", "compare", *map(str, runs[:2])]


def call(monkeypatch, capfd, *words):
    monkeypatch.setattr(sys, "argv", ["memrl", *words])
    code = 0
    try:
        main()
    except SystemExit as exit_:
        code = exit_.code or 0
    return code, *capfd.readouterr()


def test_a_sweep_prints_its_config_once_and_ends_with_a_table(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    words = ["train", "-m", *SMOKE, "memory=none", "agent.burn_in=16,0,8", "run.dir=s w"]
    code, out, err = call(monkeypatch, capfd, *words)
    assert code == 1
    assert err.splitlines()[-1].startswith("memrl: 1 of 3 jobs failed: agent.burn_in=16: ")
    assert out.count("name=none") <= 1
    assert "job 2 of 3: agent.burn_in=0" in out
    *_, table, compare = out.rstrip().split("\n\n")
    assert table.splitlines()[0].split()[0] == "job"
    assert "agent.burn_in=16" in table
    assert "s w/probe-Recall-v0-none-seed1-2" in table
    assert compare == "compare them  memrl compare 's w'"


@pytest.mark.slow
def test_a_sweep_with_json_is_one_value(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ["train", "-m", *SMOKE, "memory=none", "agent.burn_in=16,0", "--json"]
    _, out, _ = call(monkeypatch, capfd, *words)
    failed, done = json.loads(out)
    assert failed["job"] == ["agent.burn_in=16"]
    assert "burn_in is 16" in failed["error"]
    assert done["run"] == "runs/probe-Recall-v0-none-seed1"
    assert done["env_steps"] == 256


def start(words, folder):
    """A sweep in a process of its own, and where its second job writes its metrics."""
    process = subprocess.Popen(
        [sys.executable, "-m", "memrl", *words], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    return process, folder / "s w" / "probe-Recall-v0-none-seed1-2" / "metrics.csv"


def interrupted(process, metrics, rows):
    """What a process said that got Ctrl-C once its job had so many rows."""
    while process.poll() is None:
        if metrics.exists() and metrics.read_text().count("\n") > rows:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    return out, err


@pytest.mark.slow
def test_ctrl_c_stops_a_sweep_and_the_same_command_goes_on(tmp_path):
    few = [word for word in SMOKE if not word.startswith("total_steps")]
    lengths = "total_steps=256,1_000_000_000"
    words = ["train", "-m", *few, "memory=none", "seed=1,2,3", lengths, "run.dir=s w"]
    process, metrics = start(words, tmp_path)
    out, err = interrupted(process, metrics, 1)
    line = err.splitlines()[-1]
    assert line.startswith("memrl: job 2 of 6 stopped after ")
    assert line.endswith("; the same command continues the sweep")
    assert len([*tmp_path.glob("s w/probe-*")]) == 2
    assert "seed=1 total_steps=256  " in out  # the table of what was done
    rows = metrics.read_text().count("\n")
    process, _ = start(words, tmp_path)
    out, _ = interrupted(process, metrics, rows)
    assert "finished before: s w/probe-Recall-v0-none-seed1\n" in out
    assert "continuing s w/probe-Recall-v0-none-seed1-2 after " in out
    assert len([*tmp_path.glob("s w/probe-*")]) == 2


def test_a_launcher_without_a_sweep_is_a_mistake(monkeypatch, capfd):
    _, _, err = call(monkeypatch, capfd, "train", "hydra/launcher=basic", "seed=3")
    assert err == "memrl: hydra/launcher=basic is for the jobs of a sweep: add -m\n"


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("hydra/launcher=joblib", "[sweep]"),
        ("hydra/launcher=submitit_local", "[sweep]"),
        ("hydra/launcher=submitit_slurm", "[sweep]"),
        ("hydra/launcher=ray", "pip install hydra-ray-launcher"),
        ("hydra/sweeper=optuna", "[sweep]"),
    ],
)
def test_a_plugin_of_hydras_that_is_missing_is_told_with_its_remedy(word, remedy):
    group, _, choice = word.partition("=")
    error = MissingConfigException("no", f"{group}/{choice}", ["basic"])
    said = sentence(error, Config)
    assert said.startswith(f"{word} needs a package: pip install ")
    assert remedy in said


def test_an_unknown_launcher_is_answered_with_the_nearest(monkeypatch, capfd):
    _, _, err = call(monkeypatch, capfd, "train", "-m", "hydra/launcher=joblip", "seed=1,2")
    assert err.startswith("memrl: unknown hydra/launcher 'joblip'; did you mean joblib? (known: ")


@pytest.mark.parametrize(
    ("asked", "threads", "jobs", "at_once", "share"),
    [
        (None, None, None, 7, 1),
        (None, None, 2, 2, 3),
        (3, None, 11, 3, 2),
        (None, 2, 11, 3, 2),
        (2, 3, 11, 2, 3),
        (None, 11, 5, 1, 11),
    ],
)
def test_jobs_share_the_cores(asked, threads, jobs, at_once, share):
    assert jobs_at_once(asked, threads, 7, "n_jobs", jobs=jobs) == (at_once, share)


def test_more_jobs_than_cores_are_refused():
    said = "n_jobs=3: so many jobs of 5 threads at once need 15 cores, this machine has 11"
    with pytest.raises(ValueError, match=f"^{said}, allowed: at most 2$"):
        jobs_at_once(3, 5, 11, "n_jobs")
