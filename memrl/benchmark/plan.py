"""What a benchmark runs: memories × tasks × seeds, with one recipe per task."""

from __future__ import annotations

import math
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import yaml  # type: ignore[import-untyped]
from annotated_types import Ge, MinLen
from pydantic import Field, field_validator

from memrl.config.composition import compose
from memrl.config.models import check
from memrl.envs.make import card
from memrl.errors import nearest
from memrl.memory import registry
from memrl.options import Strict

CONTROLS: Final = ("none", "framestack")  # of every table: memories that carry nothing, or a little


class TaskPlan(Strict):
    """One task and its recipe, the same for all memories."""

    words: Annotated[list[str], MinLen(1)]  # of memrl train
    score: Literal["success", "return"] = "return"
    low: float = math.nan  # of the best policy without a memory: counts as 0
    high: float = math.nan  # the best: counts as 1


class Plan(Strict):
    """A benchmark, as its YAML holds it."""

    name: str
    memories: Annotated[list[str], MinLen(1)]
    seeds: Annotated[list[Annotated[int, Ge(0)]], MinLen(1)]
    tasks: Annotated[dict[str, TaskPlan], MinLen(1)]
    words: list[str] = Field(default_factory=list)  # of all runs
    parameters: Annotated[int, Ge(1)] | None = None  # of a policy, within a tenth; null: as it is

    @field_validator("memories")
    @classmethod
    def _known(cls, memories: list[str]) -> list[str]:
        for memory in memories:
            registry.core_class(memory)
        return memories


class Cell(NamedTuple):
    """One run."""

    task: str
    memory: str
    seed: int

    def path(self, root: Path) -> Path:
        """The directory of the run."""
        return root / self.task / self.memory / f"seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.task} {self.memory} seed {self.seed}"


def read_plan(name: str) -> Plan:
    """The benchmark of a name, or of a YAML file.

    Every recipe is composed once, so that a wrong key is told before anything runs.

    Raises:
        ValueError: there is no such benchmark, or its content is refused.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ValueError(f"there is no file {name}")
        text = path.read_text()
    else:
        known = names()
        if name not in known:
            raise ValueError(
                f"unknown benchmark {name!r}{nearest(name, known)} (known: {', '.join(known)}; "
                "or a YAML file)"
            )
        text = (_folder() / f"{name}.yaml").read_text()
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{name} holds no keys; see configs/benchmark/quick.yaml")
    plan = check({"name": path.stem, **content}, Plan)
    tasks = {name: _with_levels(plan, name, task) for name, task in plan.tasks.items()}
    return plan.model_copy(update={"tasks": tasks})


def _with_levels(plan: Plan, name: str, task: TaskPlan) -> TaskPlan:
    """What the plan leaves out of score, low and high, from the card of the environment."""
    config = compose([*plan.words, *task.words])
    env = config.env
    levels = card(env.id, family=env.family, trial=env.trial, **(env.model_extra or {})).levels
    known: dict[str, Any] = {}
    if levels is not None:
        low = levels.memoryless if levels.memoryless is not None else levels.guess
        known = {"score": levels.score, "low": low, "high": levels.optimum}
    told = {key: value for key, value in known.items() if value is not None}
    filled = task.model_copy(update={**told, **task.model_dump(exclude_unset=True)})
    if math.isnan(filled.low) or math.isnan(filled.high):
        raise ValueError(
            f"benchmark {plan.name}, task {name}: the levels of {env.id} are not known: give low "
            "(the best without a memory) and high"
        )
    return filled


def names() -> list[str]:
    """The benchmarks that memrl brings."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def cells(plan: Plan) -> list[Cell]:
    """All runs; the first seed of everything comes first."""
    return [
        Cell(task, memory, seed)
        for seed, task, memory in product(plan.seeds, plan.tasks, plan.memories)
    ]


def _folder() -> Path:
    return Path(str(files("memrl.configs"))) / "benchmark"
