"""How many jobs of a sweep run at once, each on how many cores; Hydra's plug-ins as memrl needs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from omegaconf import DictConfig, OmegaConf

from memrl.cli.sweep_axes import Axes, axes_of
from memrl.config.quoting import text_word
from memrl.run.machine import usable_cores, usable_threads

_MINUTES: Final = 60  # submitit's default limit, which ends longer runs
_YEAR: Final = 525_600  # minutes
_TWO: Final = 2  # the Optuna sweeper's default number of trials at once


class Sweep(NamedTuple):
    """What Hydra is asked to do with the jobs."""

    folder: Path  # of the runs
    axes: Axes  # those of configs included
    words: list[str]  # settings of Hydra that the person left to their defaults
    search: bool  # a sweeper chooses the jobs by their scores
    beside: bool  # jobs run in processes of joblib, which this process has


def prepare_sweep(composed: DictConfig, changes: Sequence[str]) -> Sweep:
    """How a sweep is launched: no core gets two threads.

    Args:
        composed: the config of a first job, with Hydra's own.
        changes: the words of the command line.

    Raises:
        ValueError: more threads are asked for than this machine has cores.
    """
    hydra = composed.hydra
    folder = Path(str(composed.run.dir or composed.run.root))
    chosen = hydra.runtime.choices
    launcher, sweeper = chosen["hydra/launcher"], chosen["hydra/sweeper"]
    optuna = sweeper == "optuna"
    axes = _axes(hydra, sweeper, changes)
    threads = composed.threads or _cores_of_job(hydra, launcher)
    words = [text_word("hydra.sweep.dir", str(folder / ".sweep"))]
    at_once = 1
    if launcher in ("joblib", "submitit_local"):
        asked, key = _asked(hydra, launcher, changes, optuna=optuna)
        at_once, share = jobs_at_once(asked, threads, usable_cores(), key, jobs=axes.jobs)
        words.append(_share(min(share, threads or usable_threads())))
    elif threads is not None and launcher != "basic":
        words.append(_share(threads))
    words += _launcher_words(hydra, launcher, at_once, optuna=optuna)
    if optuna:
        _quiet_optuna()
        words += _search_words(hydra, at_once, launcher, changes)
    return Sweep(folder, axes, words, search=sweeper != "basic", beside=launcher == "joblib")


def jobs_at_once(
    asked: int | None, threads: int | None, cores: int, key: str, *, jobs: int | None = None
) -> tuple[int, int]:
    """How many jobs run at the same time, and the cores that each has.

    Args:
        asked: the jobs that the person wants; None as many as there are cores for.
        threads: of each job; None an equal share of the cores.
        cores: of this machine.
        key: with which the person asks for jobs.
        jobs: of the whole sweep, where that is known.

    Raises:
        ValueError: they need more than ``cores``.
    """
    most = max(1, cores // (threads or 1))
    if asked is not None and asked > most:
        each = f" of {threads} threads" if threads else ""
        raise ValueError(
            f"{key}={asked}: so many jobs{each} at once need {asked * (threads or 1)} cores, "
            f"this machine has {cores}, allowed: at most {most}"
        )
    at_once = asked or min(most, jobs or most)
    return at_once, threads or max(1, cores // at_once)


def _axes(hydra: DictConfig, sweeper: str, changes: Sequence[str]) -> Axes:
    """Those of a sweep's config and, before them, of the command line."""
    params = OmegaConf.select(hydra, "sweeper.params") or {}
    axes = axes_of([*(f"{key}={value}" for key, value in params.items()), *changes])
    if sweeper == "basic":
        return axes
    return axes._replace(jobs=OmegaConf.select(hydra, "sweeper.n_trials"))


def _quiet_optuna() -> None:
    """Keep to itself what the table of a sweep tells anyway, and which old names it uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import optuna

    optuna.logging.set_verbosity(logging.WARNING)


def _asked(
    hydra: DictConfig, launcher: str, changes: Sequence[str], *, optuna: bool
) -> tuple[int | None, str]:
    """The number of jobs at once that somebody asked for, and the key that says it."""
    if launcher == "joblib":
        key, number = "hydra.launcher.n_jobs", hydra.launcher.n_jobs
        return (None if number < 1 else number), key
    if optuna:
        return _trials_at_once(hydra, changes), "hydra.sweeper.n_jobs"
    return OmegaConf.select(hydra, "sweeper.max_batch_size"), "hydra.sweeper.max_batch_size"


def _trials_at_once(hydra: DictConfig, changes: Sequence[str]) -> int | None:
    """The jobs that the Optuna sweeper chooses together; None where nobody said how many."""
    number = int(hydra.sweeper.n_jobs)
    said = any(word.startswith("hydra.sweeper.n_jobs=") for word in changes)
    return number if said or number != _TWO else None


def _cores_of_job(hydra: DictConfig, launcher: str) -> int | None:
    """The cores that a launcher gives a job; None where it says nothing."""
    settings: Any = hydra.launcher
    if launcher == "submitit_slurm":
        return settings.cpus_per_task or 1
    if launcher == "submitit_local":
        cores: int | None = settings.cpus_per_task
        return cores
    if launcher == "ray":
        return OmegaConf.select(settings, "ray.remote.num_cpus") or 1
    return None


def _launcher_words(
    hydra: DictConfig, launcher: str, at_once: int, *, optuna: bool
) -> Iterator[str]:
    if launcher == "joblib":
        yield f"hydra.launcher.n_jobs={at_once}"
    if launcher == "submitit_local":  # it would start all jobs of a batch at once, for an hour
        if not optuna:
            yield f"hydra.sweeper.max_batch_size={at_once}"
        if hydra.launcher.timeout_min == _MINUTES:
            yield f"hydra.launcher.timeout_min={_YEAR}"


def _search_words(
    hydra: DictConfig, at_once: int, launcher: str, changes: Sequence[str]
) -> Iterator[str]:
    """A search for high scores that repeats: what it asks for again has been run already."""
    here = launcher in ("basic", "joblib", "submitit_local")
    if here and _trials_at_once(hydra, changes) is None:
        yield f"hydra.sweeper.n_jobs={at_once}"
    if not any(word.startswith("hydra.sweeper.direction=") for word in changes):
        yield "hydra.sweeper.direction=maximize"
    if "seed" in hydra.sweeper.sampler and hydra.sweeper.sampler.seed is None:
        yield "hydra.sweeper.sampler.seed=1"


def _share(threads: int) -> str:
    return text_word("++hydra.job.env_set.OMP_NUM_THREADS", str(threads))
