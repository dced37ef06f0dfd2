"""Runs of several threads are those that each would have been alone; what a run sets in torch."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

import memrl
from memrl.pipeline.directories import dump
from memrl.pipeline.loading import checkpoints_of
from memrl.pipeline.setup import alone, prepare
from memrl.pipeline.training import TrainJob
from memrl.run.directory import RunDirectory
from memrl.run.global_generators import drawing
from memrl.run.machine import machine, usable_threads

WORDS = ["env=probe", "env.num=3", "agent.steps=8", "agent.bptt=8", "agent.minibatches=1",
         "threads=1", "track=off", "run.pictures=false"]  # fmt: skip


def test_a_run_waits_for_the_one_of_another_thread_and_says_so():
    said, order, began = [], [], threading.Event()

    def other():
        with alone(said.append):
            order.append("other")

    with alone(said.append):
        thread = threading.Thread(target=other)
        began.set()
        thread.start()
        while not said:
            began.wait(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]
    assert said == [
        "this run waits for another run in this process: both use its random generators"
    ]


def test_a_run_may_train_another_within_itself():
    with alone(print), alone(print):
        pass


def test_threads_that_train_with_one_seed_draw_the_same_weights(monkeypatch, tmp_path):
    """Where one is at its first weights the other would seed the generator anew."""
    drawn = []

    class Built(Exception):
        pass

    def build(job, *_, **__):
        drawn.append([weight.sum().item() for weight in job.learner.policy.parameters()])
        raise Built

    monkeypatch.setattr("memrl.pipeline.training.run", build)

    def train():
        try:
            memrl.train(memrl.compose(WORDS), say=lambda line: None)
        except Built:
            pass

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawn) == 4
    assert all(weights == drawn[0] for weights in drawn)
    prepare(memrl.compose(WORDS))


@pytest.fixture
def saved(tmp_path):
    """A run that was saved before it learned."""
    config = memrl.compose([*WORDS, f"run.dir={tmp_path / 'run'}"])
    job = TrainJob(config)
    directory = RunDirectory.create(tmp_path / "run", dump(config))
    checkpoints_of(directory, config).save(
        {"agent": job.learner.state_dict()}, experience=0, score=None
    )
    return tmp_path / "run"


def test_a_run_that_is_opened_takes_no_draw_from_one_that_trains(saved):
    before = torch.get_rng_state(), np.random.get_state()[2]
    memrl.load(saved)
    assert torch.get_rng_state().equal(before[0])
    assert np.random.get_state()[2] == before[1]


def test_a_run_that_is_opened_waits_until_anothers_weights_are_drawn(saved):
    with drawing():
        opened = threading.Thread(target=memrl.load, args=(saved,))
        opened.start()
        opened.join(0.5)
        assert opened.is_alive()
    opened.join()


def test_float32_is_rounded_to_tf32_only_where_that_is_asked_for():
    for word, allowed in {"tf32=true": True, "tf32=false": False}.items():
        prepare(memrl.compose([word, "threads=1"]))
        assert torch.backends.cuda.matmul.allow_tf32 is allowed
        assert torch.backends.cudnn.allow_tf32 is allowed


def test_torch_has_a_thread_for_each_core_that_the_process_may_use(monkeypatch):
    """Other cores may belong to other containers: threads on the same core wait for each other."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 11)
    monkeypatch.setattr("sys.platform", "linux")
    try:
        prepare(memrl.compose(["threads=null"]))
        assert torch.get_num_threads() == 3
        assert machine(torch.device("cpu"))["cores"] == 3
        monkeypatch.setattr("sys.platform", "darwin")  # it has no affinity
        prepare(memrl.compose(["threads=null"]))
        assert torch.get_num_threads() == 11
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("asked", "threads"), [("2", 2), ("11", 7), ("", 7), ("0", 7), ("x", 7)])
def test_the_environment_can_ask_for_fewer_threads_than_cores(asked, threads, monkeypatch):
    monkeypatch.setattr("memrl.run.machine.usable_cores", lambda: 7)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert usable_threads() == threads


@pytest.mark.parametrize(
    ("words", "threads"),
    [
        (["env.num=64", "memory.hidden_dim=64"], 1),  # 16 rows × 19,000 parameters
        (["env.num=256", "memory.hidden_dim=256"], 2),  # 64 × 224,000
        (["env.num=2048", "memory.hidden_dim=256"], 8),  # a thread for each core, no more
        (["env.num=64", "memory.hidden_dim=64", "threads=3"], 3),
    ],
)
def test_a_run_has_as_many_threads_as_its_steps_can_use(words, threads, monkeypatch):
    """Threads wait for each other at every product, longer than a small one takes."""
    before = torch.get_num_threads()
    monkeypatch.setattr("memrl.pipeline.setup.own_threads", lambda: 8)
    small = ["env=probe/Recall-v0", "memory=gru", *words]
    job = TrainJob(memrl.compose([*small, "agent.steps=4", "agent.bptt=4"]))
    try:
        assert torch.get_num_threads() == threads
    finally:
        job.env.close()
        torch.set_num_threads(before)
