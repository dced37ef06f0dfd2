"""MemoryPPO beside its peers: which learners run, what the table says, what is not run again."""

from __future__ import annotations

import json
import math
import subprocess

import pytest

from memrl.bench import parity, parity_run
from memrl.bench.parity import bench_parity
from memrl.bench.parity_picture import ROWS, draw_courses
from memrl.bench.parity_tasks import TASKS, ParityTask
from memrl.bench.run_file import RunKey

RETURNS = {"PPO": 7.0, "RecurrentPPO": 5.0, "MaskablePPO": 11.0, "none": 3.0, "gru": 13.0}


@pytest.fixture
def no_runs(monkeypatch):
    """Runs are noted down; each seed adds a hundredth to what its learner reaches."""
    made = []

    def run(key, episodes):
        made.append(key)
        reached = RETURNS[key.learner] + 0.01 * key.seed
        return {**key._asdict(), "return": reached, "seconds": 2.0}

    monkeypatch.setattr(parity, "_run", run)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    return made


def test_every_memory_is_compared_with_its_peer(tmp_path, no_runs):
    file = str(tmp_path / "runs.jsonl")
    rows = bench_parity(file, tasks="CartPole-v1,InvalidAction15", memories="none,gru", seeds=3)
    peers = {name: row["peer"] for name, row in rows.items()}
    assert peers == {
        "CartPole-v1 none": "PPO",
        "CartPole-v1 gru": "RecurrentPPO",
        "InvalidAction15 none": "MaskablePPO",
        "InvalidAction15 gru": "MaskablePPO",
    }
    assert len(no_runs) == len(set(no_runs)) == 3 * (4 + 3)  # MaskablePPO serves both memories


def test_runs_of_an_older_version_have_no_picture_and_one_sentence_says_so(tmp_path, no_runs):
    file = str(tmp_path / "runs.jsonl")
    bench_parity(file, tasks="CartPole-v1", memories="none", seeds=1)
    with pytest.raises(ValueError, match="has 2 runs without a course, of an older version"):
        bench_parity(file, "CartPole-v1", "none", seeds=3, picture=str(tmp_path / "x.png"))
    assert len(no_runs) == 2  # said before other runs begin


def test_behind_is_where_the_intervals_do_not_meet(tmp_path, no_runs):
    rows = bench_parity(str(tmp_path / "x"), tasks="CartPole-v1", memories="none,gru", seeds=3)
    none, gru = rows["CartPole-v1 none"], rows["CartPole-v1 gru"]
    assert (none["behind"], gru["behind"]) == (True, False)
    assert none["ours"]["mean"] == pytest.approx(3.01)
    reach = 4.302653 * 0.01 / math.sqrt(3)  # Student's t with two degrees of freedom
    assert none["theirs"]["low"] == pytest.approx(7.01 - reach, abs=1e-6)
    assert none["ours"]["seeds"] == none["theirs"]["seeds"] == 3


def test_one_seed_has_no_interval_and_is_never_behind(tmp_path, no_runs):
    row = bench_parity(str(tmp_path / "x"), tasks="CartPole-v1", memories="none", seeds=1)
    only = row["CartPole-v1 none"]
    assert only["ours"]["low"] is None
    assert not only["behind"]


def test_a_run_that_is_in_the_file_is_not_made_again(tmp_path, no_runs):
    file = tmp_path / "runs.jsonl"
    done = {"task": "CartPole-v1", "learner": "PPO", "seed": 0, "return": 17.0, "seconds": 3.0}
    file.write_text(json.dumps(done) + "\n")
    rows = bench_parity(str(file), tasks="CartPole-v1", memories="none", seeds=2)
    assert RunKey("CartPole-v1", "PPO", 0) not in no_runs
    assert rows["CartPole-v1 none"]["theirs"]["mean"] == pytest.approx((17 + 7.01) / 2)
    assert len(file.read_text().splitlines()) == 4


def test_a_run_that_fails_says_which_and_why_and_the_others_go_on(tmp_path, monkeypatch):
    def end(command, **options):
        key = json.loads(command[-1])
        if key["learner"] == "PPO":
            error = "Traceback …\nKeyError: 'x'\n"
            return subprocess.CompletedProcess([], 1, stdout="", stderr=error)
        row = json.dumps({**key, "return": 3.0, "seconds": 1.0})
        return subprocess.CompletedProcess([], 0, stdout=row, stderr="")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(subprocess, "run", end)
    told = []
    rows = bench_parity(
        str(tmp_path / "x"), "CartPole-v1", "none", seeds=2, workers=1, say=told.append
    )
    assert sorted(told)[0] == "CartPole-v1 PPO seed 0 failed: KeyError: 'x'"
    only = rows["CartPole-v1 none"]
    assert (only["ours"]["seeds"], only["theirs"]["seeds"]) == (2, 0)
    assert only["theirs"]["mean"] is None
    assert not only["behind"]


def test_a_table_in_pieces_shows_what_is_there(tmp_path, no_runs):
    file = str(tmp_path / "runs.jsonl")
    words = {"tasks": "CartPole-v1", "memories": "none,gru", "seeds": 2}
    bench_parity(file, **words, runs=3)
    assert len(no_runs) == 3
    rows = bench_parity(file, **words, runs=0)
    assert len(no_runs) == 3
    sides = [row[side]["seeds"] for row in rows.values() for side in ("ours", "theirs")]
    assert sum(sides) == 3


@pytest.mark.parametrize(
    ("task", "learner"),
    [("Identity15", "PPO"), ("PositionOnlyCartPole", "none"), ("MiniGrid-MemoryS7-v0", "gru"),
     ("IdentityMultiBinary", "MlpLstmPolicy")],
)  # fmt: skip
def test_a_run_trains_and_plays(task, learner, monkeypatch):
    small = {"n_steps": 16, "batch_size": 8, "n_epochs": 1, "max_grad_norm": 1e-6}
    monkeypatch.setattr(parity_run, "TASKS", {task: ParityTask(96, 2, small)})
    row = parity_run.run(task, learner, seed=1, episodes=1)
    assert (row["task"], row["learner"], row["seed"]) == (task, learner, 1)
    assert math.isfinite(row["return"])
    course = row["course"]
    assert len(course["env_steps"]) == 2  # SB3 logs an update after the next rollout
    assert min(course["gradient/heads"]) > 1e-5  # before clipping
    assert ("gradient/memory" in course) == (learner != "PPO")
    assert {len(series) for series in course.values()} == {2}


def test_the_picture_has_a_panel_per_task_and_quantity_and_a_line_per_learner(tmp_path):
    course = {"env_steps": [1, 2], **{quantity: [0.1, 0.2] for quantity in ROWS}}
    runs = {
        RunKey(task, learner, seed): {"course": course}
        for task in ("A", "B")
        for learner in ("PPO", "none")
        for seed in (0, 1)
    }
    del runs["A", "PPO", 0]["course"]["gradient/memory"]
    figure = draw_courses(runs, tmp_path / "parity.png")
    assert (tmp_path / "parity.png").stat().st_size > 1_000
    assert len(figure.axes) == 2 * len(ROWS)
    assert {len(axes.get_lines()) for axes in figure.axes} == {0, 2}
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == [*ROWS.values()]
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["A", "B"]


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["RecurrentPPO", "MaskablePPO", "lstm"])
def test_peers_of_sb3_contrib_train_and_play(learner, monkeypatch):
    pytest.importorskip("sb3_contrib", reason="pip install sb3-contrib")
    small = {"n_steps": 16, "batch_size": 8, "n_epochs": 1}
    monkeypatch.setattr(parity_run, "TASKS", {"InvalidAction15": ParityTask(32, 2, small)})
    assert math.isfinite(parity_run.run("InvalidAction15", learner, 1, 1)["return"])


def test_every_task_has_environments():
    for task in TASKS:
        if task != "InvalidAction15":  # of sb3-contrib
            assert parity_run.make_env(task, 2).num_envs == 2
