"""The options of a supervised run: the keys of configs/fit.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from annotated_types import Ge
from pydantic import Field, model_validator

from memrl.config.choices import Menus
from memrl.config.composition import compose_as, list_of_words
from memrl.config.models import Common, Count, check
from memrl.options import Strict
from memrl.supervised.curriculum import CurriculumConfig
from memrl.supervised.learner import LearnerConfig
from memrl.tasks import REGISTRY, Task


class EvaluateConfig(Strict):
    """The evaluation at the end of a run."""

    lengths: Annotated[tuple[int, ...], Field(strict=False)]
    sequences: Annotated[int, Ge(1)]  # of each length


class FitConfig(Common):
    """All options of a supervised run, as ``memrl config --fit`` prints them."""

    command = "fit"
    root = "fit"
    menus: ClassVar[Menus] = {**Common.menus, "task.name": REGISTRY}
    identity = frozenset({"seed", "task", "memory", "learner", "curriculum"})
    total_key = "sequences"

    sequences: Count
    evaluate: EvaluateConfig
    task: dict[str, Any]
    learner: LearnerConfig
    curriculum: CurriculumConfig

    @property
    def total(self) -> int:
        return self.sequences

    def schedules(self, progress: float) -> dict[str, float]:
        return {"learner.lr": self.learner.lr_at(progress)}

    @property
    def subject(self) -> str:
        return str(self.task["name"])

    @model_validator(mode="after")
    def _check_task(self) -> FitConfig:
        options = dict(self.task)
        name = str(options.pop("name", None))
        check(options, REGISTRY.schema(name), within="task")
        return self


def compose_fit(overrides: Iterable[str] = ()) -> FitConfig:
    """The validated config of ``memrl fit OVERRIDES``.

    Raises:
        ValueError: an override is invalid; the message is one sentence.
    """
    return compose_as(FitConfig, list_of_words(overrides, "compose_fit"))


def build_task(config: FitConfig) -> Task:
    """The task of a config.

    Raises:
        ValueError: options do not fit each other, or a length is not possible in this task.
    """
    options = {key: value for key, value in config.task.items() if key != "name"}
    task = REGISTRY.build(config.task["name"], options=options)
    name, lengths = config.subject, config.evaluate.lengths
    if lengths and task.held_out(1) is not None:
        raise ValueError(
            f"evaluate.lengths={[*lengths]} is not read by task={name}, which has a test set"
        )
    if config.curriculum.kind == "grow" and task.min_length == task.max_length:
        raise ValueError(f"curriculum.kind=grow: task={name} has one length, so none can grow")
    for length in lengths:
        task.check_length(length, "evaluate.lengths")
    return task
