"""What is left of `memrl benchmark` when its own process ends before its runs do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

PLAN = """
memories: [none, framestack]
seeds: [1]
words: [track=off, env.num=2, agent.steps=8, agent.minibatches=1]
tasks: {endless: {words: [env=probe/Recall-v0, total_steps=1_000_000_000]}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_runs_of_a_benchmark_that_was_ended_save_and_end(signum, tmp_path):
    plan = tmp_path / "mine.yaml"
    plan.write_text(PLAN)
    process = subprocess.Popen(
        [sys.executable, "-m", "memrl", "benchmark", str(plan), "workers=2", f"root={tmp_path}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path,
    )  # fmt: skip
    logs = "endless/*/default/seed-1/metrics.csv"
    while sum(path.stat().st_size > 0 for path in tmp_path.glob(logs)) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signum)
    assert process.wait() == -signum
    saved = "endless/*/default/seed-1/checkpoints/steps-*.safetensors"
    deadline = time.monotonic() + 40  # a run that goes on saves after 60 s
    while len([*tmp_path.glob(saved)]) < 2:
        assert time.monotonic() < deadline, "the runs go on"
        time.sleep(0.1)
