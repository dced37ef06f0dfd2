"""What a benchmark runs: memories × sizes × tasks × seeds, with one recipe per task."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

import yaml  # type: ignore[import-untyped]
from annotated_types import Ge, MinLen
from pydantic import Field, field_validator, model_validator

from memrl.config.composition import compose
from memrl.config.models import Config, check
from memrl.envs.make import card
from memrl.errors import nearest
from memrl.memory import registry
from memrl.options import Strict

CONTROLS: Final = ("none", "framestack")  # of every table: memories that carry nothing, or a little
STEP_SIZES: Final = 3  # that a grid may try
Size: TypeAlias = Literal["matched", "default"]  # of a memory: at `parameters`, or as it is
Grid: TypeAlias = dict[str, Annotated[list[bool | int | float | str | None], MinLen(1)]]


class TaskPlan(Strict):
    """One task and its recipe, the same for all memories."""

    words: Annotated[list[str], MinLen(1)]  # of memrl train
    score: Literal["success", "return"] = "return"
    low: float = math.nan  # of the best policy without a memory: counts as 0
    high: float = math.nan  # the best: counts as 1
    grid: Grid | None = None  # in place of the plan's

    @field_validator("grid")
    @classmethod
    def _tunes_a_recipe(cls, grid: Grid | None) -> Grid | None:
        return _of_a_recipe(grid)


class Plan(Strict):
    """A benchmark, as its YAML holds it."""

    name: str
    called: str  # as an argument of `memrl benchmark`: the path that was given, else the name
    memories: Annotated[list[str], MinLen(1)]
    seeds: Annotated[list[Annotated[int, Ge(0)]], MinLen(1)]
    tasks: Annotated[dict[str, TaskPlan], MinLen(1)]
    words: list[str] = Field(default_factory=list)  # of all runs
    parameters: Annotated[int, Ge(1)] | None = None  # of a matched policy, within a tenth
    sizes: Annotated[list[Size], MinLen(1)] = Field(default=["default"])  # or, as below, matched
    grid: Grid | None = None  # of --tune: values by key of agent or policy
    tune_seeds: list[Annotated[int, Ge(0)]] = Field(default_factory=list)  # of its runs

    @field_validator("memories")
    @classmethod
    def _known(cls, memories: list[str]) -> list[str]:
        for memory in memories:
            registry.core_class(memory)
        return memories

    @field_validator("grid")
    @classmethod
    def _tunes_a_recipe(cls, grid: Grid | None) -> Grid | None:
        return _of_a_recipe(grid)

    @model_validator(mode="before")
    @classmethod
    def _what_follows(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        sizes = {"sizes": ["matched"]} if given.get("parameters") is not None else {}
        return {"called": given.get("name"), **sizes, **given}

    @model_validator(mode="after")
    def _fits(self) -> Plan:
        for word in (self.name, *self.tasks):
            if Path(word).name != word or word == "..":
                raise ValueError(f"{word!r} is no name: benchmarks and tasks are called as folders")
        for key in ("memories", "seeds", "sizes", "tune_seeds"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key}={values} names one of them twice")
        if ("matched" in self.sizes) != (self.parameters is not None):
            raise ValueError(
                f"sizes={self.sizes} and parameters={self.parameters}: matched needs a number of "
                "parameters, and nothing else reads it"
            )
        if shared := set(self.seeds) & set(self.tune_seeds):
            raise ValueError(
                f"tune_seeds={self.tune_seeds}: {min(shared)} is among seeds, on which a recipe "
                "must not be chosen"
            )
        if bool(self.tune_seeds) != any(self.grid_of(task) for task in self.tasks):
            raise ValueError("a grid needs tune_seeds, and tune_seeds need a grid: give both")
        if self.tune_seeds and set(self.memories) <= set(CONTROLS):
            raise ValueError(
                f"a grid is judged by memories, and all of {self.memories} are controls"
            )
        return self

    def grid_of(self, task: str) -> Grid:
        """What is tried for a task; empty if nothing is."""
        own = self.tasks[task].grid
        return (self.grid if own is None else own) or {}

    def label(self, memory: str, size: Size) -> str:
        """A memory in a table; its size is named where it is not the plan's first."""
        return memory if size == self.sizes[0] else f"{memory}, {size} size"


class Cell(NamedTuple):
    """One run."""

    task: str
    memory: str
    size: Size
    seed: int

    def path(self, root: Path) -> Path:
        """The directory of the run."""
        return root / self.task / self.memory / self.size / f"seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.task} {self.memory}, {self.size} size, seed {self.seed}"


def _of_a_recipe(grid: Grid | None) -> Grid | None:
    """A grid of options that all memories share.

    Raises:
        ValueError: a key is of something else, or there are too many step sizes.
    """
    for key, values in (grid or {}).items():
        if not key.startswith(("agent.", "policy.")):
            raise ValueError(f"grid has {key}, allowed: keys of agent and policy, as in agent.lr")
        if key == "agent.lr" and len(values) > STEP_SIZES:
            raise ValueError(
                f"grid has {len(values)} values of {key}, allowed: {STEP_SIZES} at most"
            )
    return grid


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
        text = path.read_bytes()
    else:
        known = names()
        if name not in known:
            raise ValueError(
                f"unknown benchmark {name!r}{nearest(name, known)} (known: {', '.join(known)}; "
                "or a YAML file)"
            )
        text = (_folder() / f"{name}.yaml").read_bytes()
    try:
        _refuse_twice(name, yaml.compose(text, yaml.SafeLoader))
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{name} holds no keys; see configs/benchmark/quick.yaml")
    plan = check({"name": path.stem, "called": shlex.quote(name), **content}, Plan)
    tasks = {name: _with_levels(plan, name, task) for name, task in plan.tasks.items()}
    return plan.model_copy(update={"tasks": tasks})


def _refuse_twice(name: str, node: yaml.Node | None) -> None:
    """Raise ValueError for a key that stands twice: the former task of a name would be lost."""
    if not isinstance(node, yaml.MappingNode):
        return
    met: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):  # which safe_load refuses
            continue
        if key.value in met:
            line = key.start_mark.line + 1
            raise ValueError(f"{name} has {key.value!r} twice in one place, in line {line}")
        met.add(key.value)
        _refuse_twice(name, value)


def _with_levels(plan: Plan, name: str, task: TaskPlan) -> TaskPlan:
    """What the plan leaves out of score, low and high, from the card of the environment."""
    env = composed((*plan.words, *task.words)).env
    levels = None
    if not env.tasks:
        levels = card(env.id, family=env.family, trial=env.trial, **(env.model_extra or {})).levels
    known: dict[str, Any] = {}
    if levels is not None:
        low = levels.memoryless if levels.memoryless is not None else levels.guess
        known = {"score": levels.score, "low": low, "high": levels.optimum}
    told = {key: value for key, value in known.items() if value is not None}
    filled = task.model_copy(update={**told, **task.model_dump(exclude_unset=True)})
    if math.isnan(filled.low) or math.isnan(filled.high):
        raise ValueError(
            f"benchmark {plan.name}, task {name}: the levels of {env.title} are not known: "
            "give low (the best without a memory) and high"
        )
    if filled.low >= filled.high:
        raise ValueError(
            f"benchmark {plan.name}, task {name}: low={filled.low:g} counts as 0 and "
            f"high={filled.high:g} as 1 (allowed: low below high)"
        )
    return filled


@cache
def composed(words: tuple[str, ...]) -> Config:
    """The config of words; composing takes half a second, and a table asks again."""
    return compose(words)


def names() -> list[str]:
    """The benchmarks that memrl brings."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def cells(plan: Plan) -> list[Cell]:
    """All runs; the first seed of everything comes first."""
    return [
        Cell(task, memory, size, seed)
        for seed, task, size, memory in product(plan.seeds, plan.tasks, plan.sizes, plan.memories)
    ]


def _folder() -> Path:
    return Path(str(files("memrl.configs"))) / "benchmark"
