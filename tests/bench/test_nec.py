"""The benchmarks of NEC: what look-ups find, and runs that are not made twice."""

from __future__ import annotations

import json

import pytest

from memrl.bench import nec_dqn
from memrl.bench.nec import bench_nec
from memrl.bench.nec_dqn import MARKS, bench_nec_dqn

TASKS = ("CartPole-v1", "MiniGrid-Empty-5x5-v0")


def test_a_batch_finds_what_single_queries_find_and_an_index_most_of_it():
    pytest.importorskip("faiss")
    rows = bench_nec(keys=3000, key_dim=7, queries=5, neighbours=3, latent=2, repeats=1)
    assert list(rows) == ["loop", "batch", "ivf", "lsh"]
    assert rows["loop"]["recall"] == rows["batch"]["recall"] == 1
    assert all(0.5 < rows[kind]["recall"] <= 1 for kind in ("ivf", "lsh"))
    assert all(row["seconds"] > 0 for row in rows.values())
    assert rows["loop"]["ratio"] == 1


def line(task, learner, seed, scale):
    returns = {str(mark): scale * (seed + 1) for mark in MARKS}
    return {"task": task, "learner": learner, "seed": seed, "returns": returns, "seconds": 1.0}


@pytest.fixture
def no_runs(monkeypatch):
    """Runs are noted down instead of made."""
    made = []

    def run(part, episodes):
        made.append(part)
        return line(*part, 10.0)

    monkeypatch.setattr(nec_dqn, "_run", run)
    return made


def test_a_run_that_is_in_the_file_is_not_made_again(tmp_path, no_runs):
    file = tmp_path / "runs.jsonl"
    file.write_text(json.dumps(line("CartPole-v1", "nec", 0, 2.0)) + "\n")
    rows = bench_nec_dqn(str(file), tasks="CartPole-v1", seeds=2)
    assert [tuple(part)[1:] for part in no_runs] == [("dqn", 0), ("nec", 1), ("dqn", 1)]
    assert len(file.read_text().splitlines()) == 4
    assert rows["CartPole-v1 nec"]["5000"]["mean"] == (2 + 20) / 2
    assert rows["CartPole-v1 dqn"]["seeds"] == 2
    bench_nec_dqn(str(file), tasks="CartPole-v1", seeds=2)
    assert len(no_runs) == 3


def test_results_are_drawn(tmp_path, no_runs):
    picture = tmp_path / "nec.png"
    bench_nec_dqn(str(tmp_path / "x"), tasks=",".join(TASKS), seeds=3, picture=str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_one_seed_has_no_interval(tmp_path, no_runs):
    rows = bench_nec_dqn(str(tmp_path / "x"), tasks="CartPole-v1", seeds=1, learners="mfec")
    assert rows["CartPole-v1 mfec"]["20000"] == {"mean": 10.0, "low": None, "high": None}


def test_an_unknown_learner_is_refused_before_anything_runs(tmp_path, no_runs):
    with pytest.raises(ValueError, match=r"unknown learner 'dqm'; did you mean dqn\?"):
        bench_nec_dqn(str(tmp_path / "x"), learners="nec,dqm")
    assert no_runs == []
