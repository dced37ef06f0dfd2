"""Hydra's launchers and the Optuna sweeper: four jobs each, which the same command goes on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from memrl.cli.sweep_axes import axes_of
from memrl.cli.sweep_launcher import prepare_sweep
from memrl.cli.sweep_processes import dismiss_workers
from memrl.config.composer import hydra_compose
from memrl.run.machine import usable_cores

SMALL = ["+run=smoke", "memory=none", "total_steps=256", "evaluate.episodes=4",
         "run.pictures=false", "track=off", "run.dir=s w"]  # fmt: skip
SEEDS = "seed=1,2,3,4"
PLUGINS = {
    "joblib": "hydra_joblib_launcher",
    "submitit_local": "hydra_submitit_launcher",
    "submitit_slurm": "hydra_submitit_launcher",
    "optuna": "hydra_optuna_sweeper",
}


def need(choice):
    pytest.importorskip(f"hydra_plugins.{PLUGINS[choice]}", reason="pip install 'memrl[sweep]'")


def prepared(*words):
    words = ["-m", *SMALL, *words]
    return prepare_sweep(hydra_compose("config", axes_of(words).first, settings=True), words)


def test_a_sweep_keeps_what_is_its_own_beside_its_runs():
    sweep = prepared(SEEDS)
    assert (str(sweep.folder), sweep.axes.jobs, sweep.search) == ("s w", 4, False)
    assert sweep.words == ["hydra.sweep.dir='s w/.sweep'"]


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_jobs_on_one_machine_have_a_share_of_its_cores_each(launcher, monkeypatch):
    need(launcher)
    monkeypatch.setattr("memrl.cli.sweep_launcher.usable_cores", lambda: 7)
    words = prepared(SEEDS, f"hydra/launcher={launcher}", "threads=3").words
    assert "++hydra.job.env_set.OMP_NUM_THREADS='3'" in words
    key = {"joblib": "launcher.n_jobs", "submitit_local": "sweeper.max_batch_size"}[launcher]
    assert f"hydra.{key}=2" in words


def test_more_jobs_at_once_than_cores_are_refused(monkeypatch):
    need("joblib")
    monkeypatch.setattr("memrl.cli.sweep_launcher.usable_cores", lambda: 7)
    with pytest.raises(ValueError, match=r"^hydra\.launcher\.n_jobs=11: .* at most 7$"):
        prepared(SEEDS, "hydra/launcher=joblib", "hydra.launcher.n_jobs=11")


def test_a_job_of_slurm_has_as_many_threads_as_slurm_gives_it_cores():
    need("submitit_slurm")
    slurm = [SEEDS, "hydra/launcher=submitit_slurm"]
    one, five = prepared(*slurm), prepared(*slurm, "hydra.launcher.cpus_per_task=5")
    assert "++hydra.job.env_set.OMP_NUM_THREADS='1'" in one.words
    assert "++hydra.job.env_set.OMP_NUM_THREADS='5'" in five.words


@pytest.mark.parametrize(("said", "told"), [([], True), (["hydra.sweeper.n_jobs=2"], False)])
def test_a_search_chooses_one_job_after_the_other_unless_it_is_told(said, told):
    need("optuna")
    search = prepared("hydra/sweeper=optuna", "agent.lr=interval(0.1, 0.7)", *said)
    assert ("hydra.sweeper.n_jobs=1" in search.words) is told
    assert "hydra.sweeper.direction=maximize" in search.words
    assert "hydra.sweeper.sampler.seed=1" in search.words
    assert (search.axes.jobs, search.search) == (20, True)


def sweep(folder, *words):
    done = subprocess.run(
        [sys.executable, "-m", "memrl", "train", "-m", *SMALL, *words],
        cwd=folder, capture_output=True, text=True, timeout=300,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def summaries(folder):
    return {path.parent.name: path for path in folder.glob("s w/*/summary.json")}


def go_on(folder, *words):
    """Four jobs; then one summary and one run are lost, and the same command makes them again."""
    first = sweep(folder, *words)
    made = summaries(folder)
    assert len(made) == 4
    _, stopped, lost, _ = sorted(made)
    kept = {name: path.stat().st_mtime_ns for name, path in made.items()}
    scores = {name: json.loads(path.read_text())["return"] for name, path in made.items()}
    made[stopped].unlink()
    shutil.rmtree(made[lost].parent)
    second = sweep(folder, *words)
    assert {*summaries(folder)} == {*made}
    again = {name for name, path in made.items() if path.stat().st_mtime_ns != kept[name]}
    assert again == {stopped, lost}
    assert all(json.loads(path.read_text())["return"] == scores[n] for n, path in made.items())
    log = second + "".join(path.read_text() for path in folder.glob("s w/.sweep/.submitit/*/*.out"))
    assert f"continuing s w/{stopped} after 256 env steps" in log
    return first, second


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_launcher_runs_jobs_and_goes_on_with_them(launcher, tmp_path):
    need(launcher)
    first, second = go_on(tmp_path, SEEDS, f"hydra/launcher={launcher}")
    table = [line.split()[0] for line in second.splitlines() if line.startswith("seed=")]
    assert table == ["seed=1", "seed=2", "seed=3", "seed=4"]
    assert first.splitlines()[-1] == "compare them  memrl compare 's w'"
    for path in summaries(tmp_path).values():
        assert json.loads(path.read_text())["machine"]["threads"] <= usable_cores()


@pytest.mark.slow
def test_optuna_searches_and_goes_on_with_the_same_jobs(tmp_path):
    need("optuna")
    rate = "agent.lr=tag(log, interval(1e-4, 1e-2))"
    _, second = go_on(tmp_path, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", rate)
    assert "job 4 of 4: agent.lr=" in second
    (best,) = [line for line in second.splitlines() if line.startswith("the best")]
    told = [json.loads(path.read_text())["success"] for path in summaries(tmp_path).values()]
    best_run = tmp_path / best.rpartition("(")[2].rstrip(")") / "summary.json"
    assert json.loads(best_run.read_text())["success"] == max(told)


@pytest.mark.slow
def test_a_job_that_fails_on_a_launcher_is_told_and_the_others_run(tmp_path):
    need("joblib")
    words = [*SMALL, "agent.burn_in=16,0", "hydra/launcher=joblib"]
    done = subprocess.run(
        [sys.executable, "-m", "memrl", "train", "-m", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("memrl: 1 of 2 jobs failed: agent.burn_in=16: ")
    assert len(summaries(tmp_path)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "to_all", "code"),
    [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143), (signal.SIGKILL, False, -9)],
)
def test_a_signal_to_a_sweep_lets_its_jobs_save_and_no_process_behind(
    signum, to_all, code, tmp_path
):
    """Ctrl-C goes to all processes, as a terminal sends it; the others to the command alone."""
    need("joblib")
    words = [*SMALL, SEEDS, "total_steps=1000000000", "hydra/launcher=joblib"]
    sweep = subprocess.Popen(
        [sys.executable, "-m", "memrl", "train", "-m", *words, "hydra.launcher.n_jobs=2"],
        cwd=tmp_path, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    while sum(path.stat().st_size > 0 for path in tmp_path.glob("s w/*/metrics.csv")) < 2:
        assert sweep.poll() is None
        time.sleep(0.05)
    (os.killpg if to_all else os.kill)(sweep.pid, signum)
    said = sweep.communicate(timeout=300)[1]  # until the jobs have ended, which write there, too
    assert sweep.returncode == code
    runs = [*tmp_path.glob("s w/probe-*")]
    assert len(runs) == 2
    assert all([*run.glob("checkpoints/steps-*.safetensors")] for run in runs)
    if code > 0:
        assert said.splitlines()[-1] == "memrl: stopped; the same command continues the sweep"


def test_joblibs_processes_end_with_the_sweep():
    """They wait five minutes for more, and a process of multiprocessing waits for them."""
    loky = pytest.importorskip("joblib.externals.loky", reason='pip install "memrl[sweep]"')
    executor = loky.get_reusable_executor(max_workers=1)
    dismiss_workers()
    with pytest.raises(loky.process_executor.ShutdownExecutorError):
        executor.submit(abs, -1)
