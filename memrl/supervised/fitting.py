"""A whole supervised run: learning, an exam by length, pictures, summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from memrl.assemble import (
    checkpoints_of,
    compile_memory,
    find_device,
    open_run,
    prepare,
    stream,
)
from memrl.run.directory import RunDirectory
from memrl.run.loop import Fitted, fit
from memrl.run.machine import commit, machine, peak_rss_bytes, versions
from memrl.run.progress import Style, progress_bar
from memrl.run.summary import write_summary
from memrl.run.tracking import Tracker
from memrl.supervised.config import FitConfig, build_task
from memrl.supervised.exam import Mark, as_table, examine
from memrl.supervised.learner import SupervisedLearner
from memrl.supervised.model import build_model
from memrl.supervised.pictures import draw_learning, draw_lengths
from memrl.supervised.tape import draw_tape

Say = Callable[[str], None]


class FitRun(NamedTuple):
    """A finished run."""

    path: Path
    summary: dict[str, Any]  # as in summary.json
    learner: SupervisedLearner  # as at the end


def fit_task(
    config: FitConfig,
    target: Path | RunDirectory | None = None,
    *,
    style: Style = "auto",
    say: Say = print,
) -> FitRun:
    """Learn a task as ``config`` says, then examine, draw and summarise.

    Args:
        config: from ``compose_fit``.
        target: where a new run goes, by default ``run.dir`` or a new name under ``run.root``; an
            opened ``RunDirectory`` is continued from its last checkpoint.
        style: of the progress display: auto, bar, lines or quiet.
        say: receives sentences for the person at the terminal.

    Raises:
        ValueError: parts of the config that do not fit each other, or this machine.
        RunError: the directory is taken, the disk is full, learning diverged, or no checkpoint of
            a run to be continued is intact.
        Interrupted: a signal arrived; a checkpoint was saved first.
    """
    prepare(config)
    learner = make_learner(config)  # what does not fit fails before a file is made
    if config.compile:
        compile_memory(learner.model.core, say)
    say(described(learner))
    directory, resume = open_run(config, target, "fit", learner.unit, say)
    start = resume.experience if resume else 0
    with (
        Tracker(
            directory,
            config.model_dump(mode="json"),
            tensorboard=config.track.tensorboard,
            wandb=config.track.wandb,
            project=config.track.project,
            unit=learner.unit,
            resume=resume,
            say=say,
        ) as tracker,
    ):
        with progress_bar(config.sequences, start, style, learner.unit) as progress:
            fitted = fit(
                learner,
                directory,
                checkpoints_of(directory, config, warn=say),
                total=config.sequences,
                tracker=tracker,
                progress=progress,
                resume=resume,
                checkpoint_seconds=config.run.checkpoint_seconds,
            )
        if learner.solved:
            say(f"solved after {fitted.experience:,} sequences: learner.stop_at is reached")
        summary = _conclude(config, learner, directory, fitted, say)
        tracker.finish(checkpoint=fitted.checkpoint)
    return FitRun(directory.path, summary, learner)


def make_learner(config: FitConfig) -> SupervisedLearner:
    """A learner that has learned nothing yet.

    Raises:
        ValueError: options that do not fit each other, or lengths that make no sense.
    """
    task = build_task(config)
    return SupervisedLearner(
        task,
        build_model(task, config.memory),
        config.learner,
        config.curriculum,
        device=find_device(config.device),
        seed=stream(config.seed, "train"),
    )


def described(learner: SupervisedLearner) -> str:
    """One line: parameters of the model and of its memory."""
    whole, core = (
        sum(weight.numel() for weight in part.parameters())
        for part in (learner.model, learner.model.core)
    )
    return f"{whole:,} parameters, {core:,} of them in the memory"


def _conclude(
    config: FitConfig, learner: SupervisedLearner, directory: RunDirectory, fitted: Fitted, say: Say
) -> dict[str, Any]:
    """Examine the model as it is after learning, and leave pictures and a summary."""
    task, model = learner.task, learner.model
    lengths = config.evaluate.lengths
    seed = stream(config.seed, "evaluate")
    marks = examine(
        task, model, lengths, config.evaluate.sequences, seed=seed, device=learner.device
    )
    for line in table(marks):
        say(line)
    title = f"{config.memory['name']} on {config.subject}"
    generator = torch.Generator().manual_seed(stream(config.seed, "watch"))
    one = task.sample(1, lengths[len(lengths) // 2] if lengths else task.max_length, generator)
    draw_learning(directory.metrics, directory.curve, task=task, marks=marks, title=title)
    if any(mark.length is not None for mark in marks):
        draw_lengths(marks, directory.lengths, task=task, title=title)
    draw_tape(task, model, one, directory.memory, title=title)
    summary = summarize(config, learner, fitted, marks)
    write_summary(directory.summary, summary)
    return summary


def table(marks: Sequence[Mark]) -> list[str]:
    """Accuracy and loss by length as lines of text."""
    lines = ["length  sequences  accuracy      loss  (nats)"]
    for mark in marks:
        length = "test" if mark.length is None else str(mark.length)
        line = f"{length:>6}  {mark.sequences:>9,}  {mark.accuracy:>8.2%}  {mark.loss:>8.4f}"
        if mark.best_loss is not None:
            line += f"  best possible {mark.best_accuracy:.2%}  {mark.best_loss:.4f}"
        lines.append(line)
    return lines


def summarize(
    config: FitConfig, learner: SupervisedLearner, fitted: Fitted, marks: Sequence[Mark]
) -> dict[str, Any]:
    """The content of summary.json; it speaks of the last checkpoint.

    ``accuracy`` is that of the longest training length, or of the held-out set, where examined.
    """
    rows = [mark for mark in marks if mark.length in (None, learner.task.max_length)]
    seconds = fitted.wall_seconds
    return {
        "memory": config.memory["name"],
        "task": config.subject,
        "seed": config.seed,
        "accuracy": rows[0].accuracy if rows else None,
        "evaluation": as_table(marks),
        "sequences": fitted.experience,
        "solved": learner.solved,
        "wall_seconds": seconds,
        "sequences_per_s": fitted.experience / seconds if seconds else None,
        "parameters": sum(weight.numel() for weight in learner.model.parameters()),
        "parameters_memory": sum(weight.numel() for weight in learner.model.core.parameters()),
        "peak_rss_bytes": peak_rss_bytes(),
        "commit": commit(),
        "versions": versions(),
        "machine": machine(learner.device),
    }
