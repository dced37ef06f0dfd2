"""``memrl fit``: a memory learns a supervised task, and is evaluated by length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch

from memrl.pipeline.job import Job, Result, Say, run
from memrl.pipeline.setup import find_device, prepare, seed_for
from memrl.run.directory import RunDirectory
from memrl.run.loop import TrainingResult
from memrl.run.progress import Style
from memrl.supervised.config import FitConfig, build_task
from memrl.supervised.evaluation import Mark, as_table, examine
from memrl.supervised.learner import SupervisedLearner
from memrl.supervised.model import build_model
from memrl.supervised.pictures import draw_learning, draw_lengths
from memrl.supervised.sequence_picture import draw_tape


def fit_task(
    config: FitConfig,
    target: Path | RunDirectory | None = None,
    *,
    style: Style = "auto",
    say: Say = print,
) -> Result[SupervisedLearner]:
    """Learn a task as ``config`` says, then evaluate, draw and summarise.

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
    return run(FitJob(config), target, style=style, say=say)


@final
class FitJob(Job[FitConfig, SupervisedLearner]):
    """The course of ``memrl fit``.

    Raises:
        ValueError: parts of the config that do not fit each other, or this machine.
    """

    def __init__(self, config: FitConfig) -> None:
        prepare(config)
        self.config, self.learner = config, make_learner(config)
        self.core, self.device = self.learner.model.core, self.learner.device

    def notice(self, start: int) -> str | None:
        return size_line(self.learner)

    def conclude(
        self, directory: RunDirectory, trained: TrainingResult, say: Say
    ) -> dict[str, Any]:
        config, learner = self.config, self.learner
        lengths = self._lengths()
        if learner.solved:
            say(f"solved after {trained.experience:,} sequences: learner.stop_at is reached")
        task, model, wanted = learner.task, learner.model, config.evaluate
        seed = seed_for(config.seed, "evaluate")
        marks = examine(task, model, lengths, wanted.sequences, seed=seed, device=self.device)
        for line in table(marks):
            say(line)
        self._draw(directory, marks)
        return summarize(config, learner, marks)

    def _lengths(self) -> tuple[int, ...]:
        """Of the sequences that the evaluation asks for."""
        return self.config.evaluate.lengths or (self.learner.task.max_length,)

    def _draw(self, directory: RunDirectory, marks: Sequence[Mark]) -> None:
        config, task = self.config, self.learner.task
        title, lengths = f"{config.memory['name']} on {config.subject}", self._lengths()
        draw_learning(directory.metrics, directory.curve, task=task, marks=marks, title=title)
        if any(mark.length is not None for mark in marks):
            draw_lengths(marks, directory.lengths, task=task, title=title)
        generator = torch.Generator().manual_seed(seed_for(config.seed, "watch"))
        one = task.sample(1, lengths[len(lengths) // 2], generator)
        draw_tape(task, self.learner.model, one, directory.memory, title=title)


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
        seed=seed_for(config.seed, "train"),
    )


def size_line(learner: SupervisedLearner) -> str:
    """One line: parameters of the model and of its memory."""
    whole, core = (
        sum(weight.numel() for weight in part.parameters())
        for part in (learner.model, learner.model.core)
    )
    return f"{whole:,} parameters, {core:,} of them in the memory"


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
    config: FitConfig, learner: SupervisedLearner, marks: Sequence[Mark]
) -> dict[str, Any]:
    """What was learned and how well.

    ``accuracy`` is that of the longest training length, or of the held-out set, where examined.
    """
    rows = [mark for mark in marks if mark.length in (None, learner.task.max_length)]
    return {
        "memory": config.memory["name"],
        "task": config.subject,
        "seed": config.seed,
        "accuracy": rows[0].accuracy if rows else None,
        "evaluation": as_table(marks),
        "solved": learner.solved,
        "parameters": sum(weight.numel() for weight in learner.model.parameters()),
        "parameters_memory": sum(weight.numel() for weight in learner.model.core.parameters()),
    }
