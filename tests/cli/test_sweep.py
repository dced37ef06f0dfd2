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

from memrl import plugins
from memrl.cli.app import main
from memrl.cli.sweep_axes import again, axes_of, commands_after, job_words
from memrl.cli.sweep_report import Outcome, compare_command, outcomes_table, raise_failures
from memrl.errors import RunError

SMOKE = ["+run=smoke", "threads=1", "total_steps=256", "evaluate.episodes=4",
         "run.pictures=false"]  # fmt: skip
WORDS = ["+run=smoke", "memory=none,gru", "seed=range(1,4)", "run.dir=a b"]


def test_a_sweep_plays_the_product_of_its_words():
    axes = axes_of(["-m", *WORDS])
    assert [len(words) for words in axes.values()] == [1, 2, 3, 1]
    assert [" ".join(job_words(axes, i)) for i in range(6)] == [
        f"memory={memory} seed={seed}" for memory in ("none", "gru") for seed in (1, 2, 3)
    ]


def test_the_jobs_of_another_sweeper_are_not_known():
    assert axes_of(["hydra/sweeper=optuna", "seed=1,2"]) is None
    assert axes_of(["seed=interval(1,2)"]) is None
    assert axes_of(["no change"]) is None


@pytest.mark.parametrize("done", range(8))
def test_what_is_left_of_a_sweep_is_told_in_sweeps(done):
    words = ["x=1", "memory=a,b", "seed=1,2,3", "lr=5"]
    jobs = [f"memory={memory} seed={seed}" for memory in "ab" for seed in (1, 2, 3)]
    left = []
    for command in commands_after(axes_of(words), done, "memrl train"):
        program, sub, flag, *rest = shlex.split(command)
        assert (program, sub, flag) == ("memrl", "train", "-m")
        for a in rest[1].removeprefix("memory=").split(","):
            left += [f"memory={a} seed={b}" for b in rest[2].removeprefix("seed=").split(",")]
    assert left == jobs[done:]


def test_words_that_are_left_can_be_pasted():
    (command,) = commands_after(axes_of(WORDS), 3, "memrl train")
    assert shlex.split(command)[3:] == ["+run=smoke", "memory=gru", "seed=1,2,3", "run.dir=a b"]


def test_what_is_left_of_a_sweep_keeps_its_flags(monkeypatch):
    words = ["-m", "--config-dir", "my files", *WORDS, "--config-dir=more"]
    assert axes_of(words) == axes_of(WORDS)
    monkeypatch.setattr(plugins, "NAMED", ["leaky"])
    command = again("train", words)
    (left,) = commands_after(axes_of(words), 3, command)
    flags = ["--plugin", "leaky", "--config-dir", "my files", "--config-dir=more"]
    assert shlex.split(left)[:8] == ["memrl", "train", *flags, "-m"]


def outcome(seed, error=None):
    summary = {"success": 0.5, "return": 2.0, "wall_seconds": 61.0}
    path = Path(f"s w/gru-{seed}")
    words = [f"seed={seed}"]
    return Outcome(words, None, None, error) if error else Outcome(words, path, summary, None)


def test_the_table_of_a_sweep_has_a_row_for_each_job():
    text = outcomes_table([outcome(1), outcome(2, ValueError("bptt=5: no"))], width=80)
    head, one, two = text.splitlines()
    assert head.split() == ["job", "success", "return", "time", "directory"]
    assert one.split() == ["seed=1", "50.0%", "2", "61", "s", "s", "w/gru-1"]
    assert two.split() == ["seed=2", "–", "–", "–", "failed:", "bptt=5:", "no"]


def test_failed_jobs_are_counted_and_the_first_is_told():
    raise_failures([outcome(1)])
    bad = ValueError("bptt=5: no")
    with pytest.raises(RunError, match=r"^1 of 2 jobs failed: seed=2: bptt=5: no$"):
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


@pytest.mark.slow
def test_ctrl_c_stops_a_sweep_and_says_how_to_go_on(tmp_path):
    few = [word for word in SMOKE if not word.startswith("total_steps")]
    lengths = "total_steps=256,1_000_000_000"
    words = ["train", "-m", *few, "memory=none", "seed=1,2,3", lengths, "run.dir=s w"]
    process = subprocess.Popen(
        [sys.executable, "-m", "memrl", *words], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    second = tmp_path / "s w" / "probe-Recall-v0-none-seed1-2" / "metrics.csv"
    while not second.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in out + err
    line = err.splitlines()[-1]
    assert line.startswith("memrl: job 2 of 6 stopped after ")
    resume, rest = line.partition("continue with: ")[2].split(" && ")
    assert shlex.split(resume)[2:] == ["--resume", "s w/probe-Recall-v0-none-seed1-2"]
    left = ["seed=2,3", "total_steps=256,1000000000", "run.dir=s w"]
    assert shlex.split(rest)[-3:] == left
    assert len([*tmp_path.glob("s w/*")]) == 2
    assert "seed=1 total_steps=256  " in out  # the table of what was done
