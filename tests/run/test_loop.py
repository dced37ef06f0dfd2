from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from run_fakes import Clock, WalkAgent

from memrl.checkpoint.folder import Checkpoints
from memrl.errors import EnvError, Interrupted, RunError
from memrl.run.directory import RunDirectory
from memrl.run.global_generators import randomness_state, restore_randomness
from memrl.run.loop import fit
from memrl.tracking.metrics_file import is_time, read_metrics
from memrl.tracking.tracker import Tracker


class Run:
    """One process's part of a run."""

    def __init__(self, path, *, resume=False, agent=None):
        self.directory = RunDirectory.open(path) if resume else RunDirectory.create(path, "a: 1\n")
        self.checkpoints = Checkpoints(self.directory.checkpoints)
        self.agent = agent or WalkAgent()
        self.clock = Clock()
        self.checkpoint = self.checkpoints.last() if resume else None

    def fit(self, total_steps, **kwargs):
        torch.manual_seed(3)
        with Tracker(
            self.directory, {}, tensorboard=False, resume=self.checkpoint, say=lambda _: None
        ) as tracker:
            return fit(
                self.agent,
                self.directory,
                self.checkpoints,
                total=total_steps,
                tracker=tracker,
                resume=self.checkpoint,
                clock=self.clock,
                **kwargs,
            )

    def rows(self):
        columns = read_metrics(self.directory.metrics)
        return {name: values for name, values in columns.items() if not is_time(name)}


def assert_same_rows(a, b):
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_a_run_leaves_rows_and_a_last_checkpoint(tmp_path):
    run = Run(tmp_path / "run")
    result = run.fit(35)
    assert result.experience == 35
    assert run.rows()["env_steps"].tolist() == [7, 14, 21, 28, 35]
    assert result.checkpoint == run.checkpoints.last().path
    assert run.checkpoints.last().experience == 35


class Killed(BaseException):
    pass


def test_a_killed_and_resumed_run_writes_the_same_rows_bit_for_bit(tmp_path):
    whole = Run(tmp_path / "whole")
    whole.fit(105)

    first = Run(tmp_path / "run")

    def in_iteration():
        first.clock.now += 1.0
        if first.agent.env_steps == 63:
            raise Killed

    first.agent.in_iteration = in_iteration
    with pytest.raises(Killed):
        first.fit(105, checkpoint_seconds=3.0)
    assert first.checkpoints.last().experience == 42
    assert first.rows()["env_steps"][-1] == 56

    second = Run(tmp_path / "run", resume=True, agent=WalkAgent(seed=99))
    second.fit(105)
    assert_same_rows(second.rows(), whole.rows())
    assert (tmp_path / "run" / "metrics.cut-1.csv").exists()


def test_checkpoints_are_written_by_the_clock(tmp_path):
    run = Run(tmp_path / "run")
    saved = []
    save = run.checkpoints.save

    def in_iteration():
        run.clock.now += 20.0

    def note(state, *, experience, **said):
        saved.append(experience)
        return save(state, experience=experience, **said)

    run.agent.in_iteration = in_iteration
    run.checkpoints.save = note
    run.fit(70)
    assert saved == [21, 42, 63, 70]


def test_wall_seconds_count_all_parts_of_a_run_but_not_the_pause(tmp_path):
    first = Run(tmp_path / "run")
    first.agent.in_iteration = lambda: setattr(first.clock, "now", first.clock.now + 2.0)
    assert first.fit(21).wall_seconds == 6.0
    second = Run(tmp_path / "run", resume=True)
    second.clock.now = 1e6
    second.agent.in_iteration = lambda: setattr(second.clock, "now", second.clock.now + 2.0)
    assert second.fit(35).wall_seconds == 10.0
    columns = read_metrics(second.directory.metrics)
    assert columns["wall_seconds"].tolist() == [2.0, 4.0, 6.0, 8.0, 10.0]
    assert columns["time/env_steps_per_s"].tolist() == [3.5] * 5


def test_the_global_generators_continue(tmp_path):
    def draws():
        return float(torch.rand(())), np.random.rand()

    Run(tmp_path / "run").fit(7)
    want = draws()
    torch.manual_seed(77)
    np.random.seed(77)
    Run(tmp_path / "run", resume=True).fit(7)
    assert draws() == want


def test_restored_generators_repeat_themselves():
    def draws():
        return (
            random.random(),
            random.gauss(0, 1),
            np.random.randn(3).tolist(),
            torch.rand(3).tolist(),
        )

    random.gauss(0, 1)  # leaves the second of a pair behind, as does NumPy's
    np.random.randn()
    state = randomness_state()
    restore_randomness(state)
    once = draws()
    restore_randomness(state)
    assert draws() == once


def test_a_finished_run_that_is_resumed_stays_as_it_was(tmp_path):
    Run(tmp_path / "run").fit(21)
    before = (tmp_path / "run" / "metrics.csv").read_bytes()
    again = Run(tmp_path / "run", resume=True)
    assert again.fit(21).experience == 21
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == before


def test_the_score_is_the_mean_success_since_the_last_checkpoint(tmp_path):
    run = Run(tmp_path / "run")
    run.fit(35)
    successes = run.rows()["episode/success"]
    assert np.isnan(successes).any()
    assert run.checkpoints.last().score == pytest.approx(np.nanmean(successes))


def test_the_score_is_the_mean_return_where_a_task_reports_no_success(tmp_path):
    class WithoutSuccess(WalkAgent):
        def learn(self, total_steps, on_iteration):
            def tell(metrics):
                returned = 2.0 * self.env_steps  # an adapter reports a success of NaN
                on_iteration({"episode/success": math.nan, "episode/return": returned})

            super().learn(total_steps, tell)

    run = Run(tmp_path / "run", agent=WithoutSuccess())
    run.fit(14)
    best = run.checkpoints.best()
    assert best is not None
    assert best.score == pytest.approx((14 + 28) / 2)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_lets_the_iteration_finish_and_saves(tmp_path, signum, code):
    run = Run(tmp_path / "run")
    before = signal.getsignal(signum)

    def in_iteration():
        if run.agent.env_steps == 14:
            os.kill(os.getpid(), signum)

    run.agent.in_iteration = in_iteration
    with pytest.raises(
        Interrupted, match=r"stopped after 14 env steps.*memrl train --resume"
    ) as it:
        run.fit(70)
    assert it.value.exit_code == code
    assert run.checkpoints.last().experience == 14
    assert run.rows()["env_steps"].tolist() == [7, 14]
    assert signal.getsignal(signum) is before


def test_a_stopped_run_goes_on_as_if_nothing_had_been(tmp_path):
    whole = Run(tmp_path / "whole")
    whole.fit(35)
    first = Run(tmp_path / "run")
    first.agent.in_iteration = lambda: os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted):
        first.fit(35)
    second = Run(tmp_path / "run", resume=True)
    second.fit(35)
    assert_same_rows(second.rows(), whole.rows())


def test_a_second_signal_stops_at_once(tmp_path):
    script = (
        "import os, signal, sys;"
        "from memrl.run.signals import stop_on_signals\n"
        "with stop_on_signals() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    assert stop.signum == signal.SIGTERM\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('never', flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "still here\n"
    assert done.returncode == -signal.SIGTERM


def test_outside_the_main_thread_training_works_without_signals(tmp_path):
    run = Run(tmp_path / "run")
    thread = threading.Thread(target=run.fit, args=(21,))
    thread.start()
    thread.join()
    assert run.checkpoints.last().experience == 21


def test_divergence_keeps_the_state_aside_and_names_the_loss(tmp_path):
    run = Run(tmp_path / "run", agent=WalkAgent(poison_at=21))
    with pytest.raises(RunError, match=r"diverged after 21 env steps: the policy loss is NaN"):
        run.fit(70)
    assert (run.directory.checkpoints / "failed-000000000021.safetensors").exists()
    assert run.checkpoints.last() is None


def test_a_full_disk_ends_training_with_a_sentence(tmp_path, monkeypatch):
    run = Run(tmp_path / "run")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="disk is full"):
        run.fit(7)


def test_another_number_of_threads_is_pointed_out(tmp_path, capsys, monkeypatch):
    Run(tmp_path / "run").fit(7)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    Run(tmp_path / "run", resume=True).fit(14)
    assert "began with 1 threads and continues with 5" in capsys.readouterr().err


_CHILD = """
import sys; sys.path[:0] = sys.argv[2:]
import time
from pathlib import Path
from test_loop import Run
resume = (Path(sys.argv[1]) / "config.yaml").exists()
run = Run(sys.argv[1], resume=resume)
run.clock = time.monotonic
run.agent.in_iteration = lambda: time.sleep(0.002)
run.fit(700, checkpoint_seconds=0.02)
"""


def test_a_process_that_is_killed_minus_nine_loses_nothing(tmp_path):
    whole = Run(tmp_path / "whole")
    whole.fit(700)
    here = Path(__file__).parent
    places = [str(here), str(here.parent / "support")]
    command = [sys.executable, "-c", _CHILD, str(tmp_path / "run"), *places]
    child = subprocess.Popen(command)
    folder = tmp_path / "run" / "checkpoints"
    while not list(folder.glob("steps-*")) and child.poll() is None:
        time.sleep(0.005)
    child.kill()
    child.wait()
    subprocess.run(command, check=True)
    again = Run(tmp_path / "run", resume=True)
    assert again.checkpoint.experience == 700
    assert_same_rows(again.rows(), whole.rows())
    assert math.isfinite(again.rows()["train/noise"][-1])


def test_environments_that_end_with_the_signal_leave_the_last_checkpoint(tmp_path):
    run = Run(tmp_path / "run")

    def in_iteration():
        if run.agent.env_steps == 21:  # the signal reached the processes of the environments, too
            os.kill(os.getpid(), signal.SIGTERM)
            raise EnvError("env 0 of Corridor: its process ended during step with exit code -15")

    run.agent.in_iteration = in_iteration
    with pytest.raises(
        Interrupted, match=r"stopped after 14 env steps.*memrl train --resume"
    ) as it:
        run.fit(70, checkpoint_seconds=0.0)
    assert it.value.exit_code == 143
    assert run.checkpoints.last().experience == 14


def test_an_environment_that_ends_without_a_signal_is_an_error(tmp_path):
    run = Run(tmp_path / "run")

    def in_iteration():
        raise EnvError("env 0 of Corridor: its process ended during step with exit code 3")

    run.agent.in_iteration = in_iteration
    with pytest.raises(EnvError, match="exit code 3"):
        run.fit(70)
