"""`memrl bench gpu`: what it measures, what it leaves, what it refuses; tried on the CPU."""

from __future__ import annotations

import json

import pytest
import tape
import torch

from memrl.bench import device_rates, gpu
from memrl.bench.gpu import bench_gpu
from memrl.errors import RunError
from memrl.rollout.capture import Replayed

SMALL = {
    "device": "cpu",
    "env": "probe/Recall-v0",
    "memories": "gru,ntm",
    "num": "5,7",
    "steps": 4,
    "hidden_dim": 7,
}


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(device_rates, "COPIED", {"cpu": 1 << 10})
    monkeypatch.setattr(device_rates, "SIDE", {"cpu": 11})


def test_every_memory_number_and_mode_is_measured_and_written():
    said = []
    rows = bench_gpu(**SMALL, modes="eager", say=said.append)
    assert list(rows["environments"]) == ["5", "7"]
    assert list(rows["agents"]) == ["gru 5 eager", "ntm 5 eager", "gru 7 eager", "ntm 7 eager"]
    for row in rows["agents"].values():
        collect, learn = row["collect_steps_per_s"], row["learn_steps_per_s"]
        assert row["train_steps_per_s"] == pytest.approx(1 / (1 / collect + 1 / learn))
        assert row["learner_of_product"] > 0
    assert rows["left"] == []
    with open("gpu.json") as file:
        assert json.load(file) == rows
    assert len(said) == 2 + 2 + 4


def test_what_cannot_run_is_told_and_the_rest_goes_on():
    rows = bench_gpu(**SMALL | {"num": "5"}, modes="captured,eager")
    assert "device=cpu has none" in rows["agents"]["gru 5 captured"]["error"]
    assert "train_steps_per_s" in rows["agents"]["ntm 5 eager"]


@pytest.mark.slow
def test_what_is_captured_is_measured_as_it_is_replayed(monkeypatch):
    tape.stand_in(monkeypatch)
    replayed = []
    call = Replayed.__call__
    monkeypatch.setattr(
        Replayed, "__call__", lambda self: (replayed.append(self._body), call(self))
    )
    rows = bench_gpu(**SMALL | {"num": "5", "memories": "gru"}, modes="captured")
    row = rows["agents"]["gru 5 captured"]
    assert row["learn_steps_per_s"] > 0
    assert row["learner_flops_per_s"] > 0
    assert len(replayed) == 4 + 4 * 16  # rollouts, and minibatches of as many iterations


def test_what_time_does_not_allow_is_named(monkeypatch):
    clock = iter(range(0, 10_000, 61))
    monkeypatch.setattr(gpu.time, "monotonic", lambda: next(clock))
    rows = bench_gpu(**SMALL, modes="eager", minutes=2)
    assert list(rows["agents"]) == ["gru 5 eager"]
    assert rows["left"] == ["ntm 5 eager", "gru 7 eager", "ntm 7 eager"]


@pytest.mark.slow
def test_tests_of_cuda_run_first(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["cuda: x"]\n')
    (tmp_path / "test_one.py").write_text(
        "import pytest\n@pytest.mark.cuda\ndef test_a(): pass\ndef test_b(): assert False\n"
    )
    rows = bench_gpu(**SMALL | {"num": "5", "memories": "gru"}, modes="eager", tests=str(tmp_path))
    assert rows["tests"].startswith("1 passed, 1 deselected")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"modes": "eager,captred"}, "unknown mode 'captred'; did you mean captured"),
        ({"memories": "gru,lstn"}, "lstn"),
        ({"num": "16,many"}, "num is '16,many'; allowed: numbers from 1"),
        ({"num": "0"}, "num is '0'; allowed: numbers from 1"),
        ({"device": "cuda:97"}, "device=cuda:97 cannot be used on this machine"),
    ],
)
def test_a_wrong_word_is_one_sentence_before_anything_is_measured(words, sentence):
    with pytest.raises((ValueError, RunError), match=sentence):
        bench_gpu(**SMALL | {"modes": "eager"} | words)


def test_rates_count_what_is_read_and_written_and_two_operations_a_pair(monkeypatch):
    monkeypatch.setattr(device_rates, "seconds_of", lambda work, device, repeats: 0.5)
    cpu = torch.device("cpu")
    assert device_rates.copy_rate(cpu) == 2 * 1024 / 0.5
    assert device_rates.product_rate(cpu, "bf16") == 2 * 11**3 / 0.5
