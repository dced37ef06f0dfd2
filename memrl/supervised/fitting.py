"""``memrl fit``: train a memory on a supervised task and evaluate it by length."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import torch

from memrl.pipeline.inheritance import Weights, fill
from memrl.pipeline.job import Job, Result, Say, faults_told, run, whole_parts
from memrl.pipeline.setup import alone, find_device, prepare, seed_for, suit_threads
from memrl.run.directory import RunDirectory
from memrl.run.global_generators import drawing
from memrl.run.loop import TrainingResult
from memrl.run.progress import Style
from memrl.supervised.alignment_picture import draw_alignment
from memrl.supervised.config import FitConfig, build_task
from memrl.supervised.evaluation import LengthScore, as_dicts, evaluate_lengths
from memrl.supervised.learner import SupervisedLearner
from memrl.supervised.model import build_model
from memrl.supervised.pictures import draw_groups, draw_learning, draw_lengths
from memrl.supervised.sequence_picture import draw_tape


def fit_task(
    config: FitConfig,
    target: Path | RunDirectory | None = None,
    *,
    style: Style = "auto",
    say: Say = print,
) -> Result[SupervisedLearner]:
    """Learn a task as configured, then evaluate, draw and write a summary.

    Args:
        config: from ``compose_fit``.
        target: the directory of a new run, by default ``run.dir`` or a new name under
            ``run.root``; an opened ``RunDirectory`` is continued from its last checkpoint.
        style: of the progress display: auto, bar, lines or quiet.
        say: receives messages for the terminal.

    Raises:
        ValueError: parts of the config do not fit each other, or this machine.
        RunError: the directory is not empty, the disk is full, learning diverged, or a run to be
            continued has no intact checkpoint.
        Interrupted: a signal arrived; a checkpoint was saved first.
    """
    if not isinstance(config, FitConfig):
        raise ValueError(f"fit_task({config!r}): a config is wanted, as compose_fit returns it")
    with alone(say):
        return run(FitJob(config), target, style=style, say=say)


@final
class FitJob(Job[FitConfig, SupervisedLearner]):
    """The steps of ``memrl fit``.

    Raises:
        ValueError: parts of the config do not fit each other, or this machine.
    """

    def __init__(self, config: FitConfig) -> None:
        with drawing():
            prepare(config)
            self.config, self.learner = config, make_learner(config)
        suit_threads(config.threads, config.learner.batch, self.learner.model)
        self.core, self.device = self.learner.model.core, self.learner.device

    @property
    def data(self) -> dict[str, str]:
        return {str(path): digest(path) for path in self.learner.task.files()}

    def inherit(self, weights: Weights) -> str:
        return fill(self.learner.model, weights)

    def notice(self, start: int) -> str | None:
        size = self.config.learner.batch * self.config.learner.batches
        longer = whole_parts("sequences", self.config.total, start, "iteration", size, "sequences")
        return "\n".join(filter(None, (size_line(self.learner), longer)))

    def conclude(
        self, directory: RunDirectory, trained: TrainingResult, say: Say
    ) -> dict[str, Any]:
        config, learner = self.config, self.learner
        lengths = self._lengths()
        if learner.solved:
            say(f"solved after {trained.experience:,} sequences: learner.stop_at is reached")
        task, model, options = learner.task, learner.model, config.evaluate
        seed = seed_for(config.seed, "evaluate")
        scores = evaluate_lengths(
            task, model, lengths, options.sequences, seed=seed, device=self.device
        )
        for line in table(scores):
            say(line)
        if config.run.pictures:
            self._draw(directory, scores, say)
        return summarize(config, learner, scores)

    def _lengths(self) -> tuple[int, ...]:
        """The lengths to evaluate: by default the longest in training."""
        return self.config.evaluate.lengths or (self.learner.task.max_length,)

    def _draw(self, directory: RunDirectory, scores: Sequence[LengthScore], say: Say) -> None:
        config, task = self.config, self.learner.task
        title, lengths = f"{config.memory['name']} on {config.subject}", self._lengths()
        with faults_told(say):
            draw_learning(directory.metrics, directory.curve, task=task, marks=scores, title=title)
        with faults_told(say):
            if any(score.length is not None for score in scores):
                draw_lengths(scores, directory.lengths, task=task, title=title)
        with faults_told(say):
            if scores[-1].groups is not None:
                draw_groups(scores[-1].groups, directory.groups, task=task, title=title)
        with faults_told(say):
            generator = torch.Generator().manual_seed(seed_for(config.seed, "watch"))
            one = task.sample_test(1, lengths[len(lengths) // 2], generator)
            draw_tape(task, self.learner.model, one, directory.memory, title=title)
            if (texts := task.texts(one)) is not None:
                draw_alignment(self.learner.model, one, texts, directory.alignment, title=title)


def make_learner(config: FitConfig) -> SupervisedLearner:
    """A new learner.

    Raises:
        ValueError: options do not fit each other, or a length is not possible in this task.
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


def digest(path: Path) -> str:
    """The SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def size_line(learner: SupervisedLearner) -> str:
    """One line: the number of parameters of the model and of its memory."""
    whole, core = (
        sum(weight.numel() for weight in part.parameters())
        for part in (learner.model, learner.model.core)
    )
    return f"{whole:,} parameters, {core:,} of them in the memory"


def table(scores: Sequence[LengthScore]) -> list[str]:
    """Accuracy and loss by length as lines of text, and accuracy by group where a task has some."""
    accuracies = [_accuracy(score) for score in scores]
    width = max(len(text) for text in ("accuracy", *accuracies))
    lines = [f"length  sequences  {'accuracy':>{width}}      loss  (nats)"]
    for score, accuracy in zip(scores, accuracies, strict=True):
        length = "test" if score.length is None else str(score.length)
        line = f"{length:>6}  {score.sequences:>9,}  {accuracy:>{width}}  {score.loss:>8.4f}"
        if score.best_loss is not None:
            line += f"  best possible {score.best_accuracy:.2%}  {score.best_loss:.4f}"
        lines.append(line)
    for score in scores:
        if score.groups is not None:
            lines += [
                "",
                *group_table(score.groups, f"length {score.length}, accuracy by {score.group}"),
            ]
    return lines


def group_table(groups: Mapping[str, Sequence[float]], title: str) -> list[str]:
    """Accuracy in each group of steps, a line for the model and for each control."""
    most = max(len(shares) for shares in groups.values())
    first = max(len(name) for name in groups)
    numbers = "".join(f"{number:>8}" for number in range(1, most + 1))
    rows = [
        f"{name:<{first}}{''.join(f'{share:>8.1%}' for share in shares)}"
        for name, shares in groups.items()
    ]
    return [title, f"{'':<{first}}{numbers}", *rows]


def _accuracy(score: LengthScore) -> str:
    """``98.83% [96.6%, 99.6%]``; the brackets are a 95 % interval, where there is one."""
    interval = score.interval and f" [{score.interval[0]:.1%}, {score.interval[1]:.1%}]"
    return f"{score.accuracy:.2%}{interval or ''}"


def summarize(
    config: FitConfig, learner: SupervisedLearner, scores: Sequence[LengthScore]
) -> dict[str, Any]:
    """The results of a run.

    ``accuracy`` is that of the longest training length or of the held-out set, if evaluated.
    """
    rows = [score for score in scores if score.length in (None, learner.task.max_length)]
    return {
        "memory": config.memory["name"],
        "task": config.subject,
        "seed": config.seed,
        "accuracy": rows[0].accuracy if rows else None,
        "evaluation": as_dicts(scores),
        "solved": learner.solved,
        "parameters": sum(weight.numel() for weight in learner.model.parameters()),
        "parameters_memory": sum(weight.numel() for weight in learner.model.core.parameters()),
    }
