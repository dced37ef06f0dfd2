"""One trial of a search: a run of ``memrl train`` that tells Ray Tune its scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from memrl.config.composition import compose
from memrl.config.quoting import text_word
from memrl.config.search_space import Space
from memrl.errors import RunError
from memrl.pipeline.loading import import_plugins, read_config
from memrl.pipeline.training import TrainJob, train_job
from memrl.run.directory import RunDirectory
from memrl.run.reporter import Saved
from memrl.run.summary import read_summary

SCORE: Final = "score"  # success, or the return where a task has none
STEPS: Final = "env_steps"
FINISHED: Final = "finished"  # in the report of a run that came to its end
FAILED: Final = "failed"  # in the report of a run that could not: why


@final
@dataclass(frozen=True)
class Search:
    """What is searched for, and where.

    Attributes:
        space: the words of ``memrl train``.
        root: the folder of the runs, absolute; every node of the cluster has it.
        trials: how many are drawn.
        total_steps: env steps of a whole trial.
        grace: env steps that no trial is stopped before.
        reduction: of so many trials, one goes on at ``grace``, and at each multiple by it.
        seed: of what is drawn.
        cpus: of one trial, which are its threads.
        gpus: of one trial; a share of one lets several use it.
        plugins: modules that ``--plugin`` named.
    """

    space: Space
    root: Path
    trials: int
    total_steps: int
    grace: int
    reduction: int
    seed: int
    cpus: int
    gpus: float
    plugins: tuple[str, ...] = ()

    def run_of(self, name: str) -> Path:
        """The directory of a trial's run."""
        return self.root / name


def trial_name(trial_id: str) -> str:
    """``trial-3`` for the fourth trial that Ray numbers; they count from 1."""
    return f"trial-{int(trial_id.rpartition('_')[2]) + 1}"


def trainable(search: Search) -> Callable[[dict[str, Any]], None]:
    """What Ray Tune calls with the values that it draws."""

    def trial(drawn: dict[str, Any]) -> None:
        play(search, drawn)

    return trial


def play(search: Search, drawn: Mapping[str, Any]) -> None:
    """Run a trial, or go on with it where it was interrupted, and report its scores.

    A mistake of the words, and a run that diverges, is reported and not tried again; any other
    error is raised, and Ray tries again.
    """
    from ray import tune

    path = search.run_of(trial_name(str(tune.get_context().get_trial_id())))
    try:
        summary = _trained(search, path, drawn)
    except (ValueError, RunError) as error:
        tune.report({FAILED: " ".join(str(error).split())})
        return
    score = summary["return"] if summary["success"] is None else summary["success"]
    told = {key: summary[key] for key in ("success", "return", STEPS)}
    tune.report({**told, SCORE: score, FINISHED: True})


def _trained(search: Search, path: Path, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of a trial's run."""
    import_plugins(search.plugins)
    run, reporter = RunDirectory(path), TuneReporter(search.grace, search.total_steps)
    if run.summary.exists():
        return read_summary(run.summary)
    if run.config.exists():
        job, target = TrainJob(read_config(run)), run
    else:
        own = [text_word("run.dir", str(path)), f"threads={search.cpus}"]
        job, target = (
            TrainJob(compose([*search.space.fixed, *search.space.words(drawn), *own])),
            None,
        )
    return train_job(job, target, style="lines", reporter=reporter).summary


@final
class TuneReporter:
    """Reports the score of each checkpoint to Ray Tune, which ends this process to stop the trial.

    A checkpoint lies at each multiple of ``grace``, where trials are stopped, so that a trial that
    is stopped is a run like any other.
    """

    def __init__(self, grace: int, total: int) -> None:
        self._grace, self._total = grace, total

    def is_due(self, before: int, now: int) -> bool:
        return now // self._grace > before // self._grace

    def saved(self, checkpoint: Saved) -> None:
        if checkpoint.score is None or checkpoint.experience >= self._total:
            return  # at the end, the evaluation is the score
        from ray import tune

        row = {name: value for name, value in checkpoint.row.items() if not math.isnan(value)}
        tune.report({**row, STEPS: checkpoint.experience, SCORE: checkpoint.score})
