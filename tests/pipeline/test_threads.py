"""Runs of several threads are those that each would have been alone."""

from __future__ import annotations

import threading

import memrl
from memrl.pipeline.setup import alone, prepare

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
    assert said == ["this run waits for another one of this process, whose random generators it "
                    "shares"]  # fmt: skip


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
