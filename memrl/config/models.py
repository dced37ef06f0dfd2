"""What a run is made of: the models that check a composed config, and errors that name the key."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, TypeVar, cast

from annotated_types import Ge, Gt, Le, Lt
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from yaml import YAMLError  # type: ignore[import-untyped]

from memrl.agents.config import AgentConfig
from memrl.agents.registry import AGENTS
from memrl.bonus.registry import BONUSES
from memrl.config.choices import Menus
from memrl.errors import choices, nearest
from memrl.memory import registry
from memrl.nn.encoder import ENCODERS
from memrl.options import Strict, alternatives, key_path, model_at, need_reader
from memrl.policies.backbone import PolicyConfig
from memrl.run.directory import Command
from memrl.tracking.wandb import Mode

M = TypeVar("M", bound=BaseModel)
TRAIN: Final = "config"


def _whole(value: Any) -> Any:
    # Hydra reads 1e6 as a float, and that is how people write a million steps.
    return int(value) if isinstance(value, float) and value.is_integer() else value


# OmegaConf delivers strings where Python has paths.
LaxPath: TypeAlias = Annotated[Path, Field(strict=False)]
Count: TypeAlias = Annotated[int, BeforeValidator(_whole), Gt(0)]


def _as_its_kind(agent: Any) -> Any:
    """The keys of an agent, checked by the model of its kind."""
    if isinstance(agent, AgentConfig):
        return agent
    return check(agent, AGENTS.schema(str(agent.get("kind"))), within="agent")


class EnvConfig(Strict):
    """A task and its number of environments; further keys are options that its family checks."""

    model_config = ConfigDict(extra="allow")

    id: str
    family: str
    num: Annotated[int, Ge(1)]
    prev_action: bool
    prev_reward: bool
    antialias: bool = False
    trial: Annotated[int, Ge(1)] | None = None  # episodes
    # Several tasks in one batch: ``ID env.NAME=VALUE``; ``id`` is that of the first
    tasks: Annotated[tuple[str, ...], Field(strict=False)] = ()
    task_id: bool = False  # whether observations say which task it is

    def unread(self) -> set[str]:
        return set() if self.tasks else {"task_id"}

    @property
    def title(self) -> str:
        """What is played, for titles: an id, or those of all tasks with their options."""
        return ", ".join(self.tasks) or self.id

    @model_validator(mode="after")
    def _tasks_fit(self) -> EnvConfig:
        if self.task_id and not self.tasks:
            raise ValueError(
                "env.task_id=True is not read by one task (it is by a list: env=[ID,ID])"
            )
        if self.tasks:
            if len({*self.tasks}) < max(len(self.tasks), 2):
                told = ", ".join(self.tasks)
                raise ValueError(f"env.tasks=[{told}]: two tasks or more are wanted, none twice")
            if self.num < len(self.tasks):
                raise ValueError(
                    f"env.num={self.num} leaves a task without environments, allowed: at least "
                    f"{len(self.tasks)}, one for each"
                )
            if (first := self.each()[0].id) != self.id:
                raise ValueError(
                    f"env.tasks begins with {first}, and env.id is {self.id}: write env=[{first},…]"
                )
        return self

    def each(self) -> tuple[EnvConfig, ...]:
        """The configs of the single tasks; of one task itself.

        Raises:
            ValueError: a task has a word that is no option of its own.
        """
        if not self.tasks:
            return (self,)
        common = self.model_dump(exclude={"id", "tasks", "task_id"})
        return tuple(EnvConfig(**{**common, **_task(text)}) for text in self.tasks)


class RunConfig(Strict):
    """Where a run writes; ``dir`` names one directory, else one is made under ``root``."""

    dir: LaxPath | None
    root: LaxPath
    checkpoint_seconds: Annotated[float, Ge(0)]
    pictures: bool = True  # of learning, an episode and the memory, at the end


def _task(text: str) -> dict[str, Any]:
    """The id and the options of one of several tasks."""
    id, *words = text.split()
    for word in words:
        name, equals, value = word.removeprefix("env.").partition("=")
        if not (word.startswith("env.") and equals and value):
            raise ValueError(f"env.tasks: {text!r} has {word!r}, allowed: options env.NAME=VALUE")
        if name in EnvConfig.model_fields:
            raise ValueError(
                f"env.tasks: {text!r} has {word!r}, which all tasks share: write it after the list"
            )
    try:
        options = OmegaConf.from_dotlist([word.removeprefix("env.") for word in words])
        return {"id": id, **cast("dict[str, Any]", OmegaConf.to_container(options))}
    except (OmegaConfBaseException, YAMLError):
        raise ValueError(f"env.tasks: {text!r} has a value that cannot be read") from None


class EvaluateConfig(Strict):
    """The evaluation that ends a run."""

    episodes: Annotated[int, Ge(1)]
    greedy: bool
    max_steps: Count = 27_000  # env steps; an episode that goes on is cut off
    inspect: Annotated[int, Ge(0), Le(1024)] = 0  # episodes on a page, as by `memrl inspect`


class TrackConfig(Strict):
    """Who else is told about a run, besides metrics.csv."""

    tensorboard: bool
    wandb: Mode
    project: str = "memrl"  # of W&B

    CHOOSER: ClassVar[str] = "wandb"
    READ_BY: ClassVar[dict[str, tuple[str, ...]]] = {"project": ("online", "offline")}

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> TrackConfig:
        need_reader(self, self.wandb, "track", self.READ_BY, chooser=self.CHOOSER)
        return self


class Common(Strict, ABC):
    """What every run has, whatever it trains."""

    command: ClassVar[Command]  # of memrl, that makes such runs
    root: ClassVar[str]  # the root config, a file of memrl.configs
    menus: ClassVar[Menus] = {"memory.name": registry.REGISTRY}
    identity: ClassVar[frozenset[str]]  # the keys that a checkpoint must share with its run
    total_key: ClassVar[str]  # the key of `total`

    seed: Annotated[int, Ge(0), Lt(2**32)]
    init: LaxPath | None = None
    device: str
    threads: Annotated[int, Ge(1)] | None
    tf32: bool = False
    compile: bool = False
    run: RunConfig
    memory: dict[str, Any]
    track: TrackConfig

    @model_validator(mode="after")
    def _memory_is_known(self) -> Common:
        options = dict(self.memory)
        name = str(options.pop("name", None))
        check(options, registry.schema(name), within="memory")
        return self

    @property
    @abstractmethod
    def total(self) -> int:
        """Experience at which learning ends: env steps or sequences."""

    @abstractmethod
    def schedules(self, progress: float) -> dict[str, float]:
        """Keys whose values change during a run, with those at a share 0 … 1 of ``total``."""

    @property
    @abstractmethod
    def subject(self) -> str:
        """What the memory is trained on, in a word."""

    @property
    def learner_name(self) -> str:
        """What is trained, for titles and names of runs: the memory, and the agent if not PPO."""
        return str(self.memory["name"])


class Config(Common):
    """A whole run of an agent: what ``memrl config`` prints and ``memrl.train`` takes."""

    command = "train"
    root = TRAIN
    CHOOSER: ClassVar[str] = "launcher"
    READ_BY: ClassVar[dict[str, tuple[str, ...]]] = {"cluster": ("ray",)}
    menus: ClassVar[Menus] = {
        **Common.menus,
        "env.id": None,
        "env.tasks": None,
        "policy.encoder": ENCODERS,
        "agent.kind": AGENTS,
        "agent.bonus.kind": BONUSES,
    }
    identity = frozenset({"seed", "env", "memory", "policy", "agent"})
    total_key = "total_steps"

    total_steps: Count
    workers: Annotated[int, Ge(1)] = 1  # processes
    launcher: Literal["local", "ray"] = "local"  # who starts them: memrl on this machine, or Ray
    cluster: str | None = None  # of Ray: auto, or HOST:PORT of its head; null = this machine alone
    capture: bool = False
    evaluate: EvaluateConfig
    env: EnvConfig
    policy: PolicyConfig
    agent: Annotated[SerializeAsAny[AgentConfig], BeforeValidator(_as_its_kind)]

    @model_validator(mode="after")
    def _cluster_is_read(self) -> Config:
        if self.cluster is not None and self.launcher != "ray":
            raise ValueError(
                f"cluster={self.cluster} is not read by launcher={self.launcher} (it is by ray)"
            )
        return self

    @model_validator(mode="after")
    def _every_task_is_evaluated(self) -> Config:
        if self.evaluate.episodes < (tasks := len(self.env.each())):
            raise ValueError(
                f"evaluate.episodes={self.evaluate.episodes} leaves a task out, allowed: at least "
                f"{tasks}, one for each"
            )
        return self

    @model_validator(mode="after")
    def _columns_are_there(self) -> Config:
        if self.policy.columns and self.init is None:
            raise ValueError(
                f"policy.columns={self.policy.columns} needs init=RUN, which has those columns"
            )
        return self

    @property
    def total(self) -> int:
        return self.total_steps

    def schedules(self, progress: float) -> dict[str, float]:
        return {f"agent.{key}": value for key, value in self.agent.schedules(progress).items()}

    @property
    def subject(self) -> str:
        return self.env.title

    @property
    def learner_name(self) -> str:
        agent, memory = self.agent.kind, super().learner_name
        if not self.agent.any_memory:
            return agent
        return memory if agent == "ppo" else f"{agent}-{memory}"


def check(composed: Mapping[str, Any], model: type[M], within: str = "") -> M:
    """Turn a composed config, or the part of one that lies ``within`` a key, into ``model``.

    Raises:
        ValueError: one sentence about the first thing that is wrong: the key, its value, what is
            allowed, and the nearest known key.
    """
    try:
        return model.model_validate(composed)
    except ValidationError as error:
        raise ValueError(explain(error, model, within)) from None


def explain(error: ValidationError, model: type[BaseModel], within: str = "") -> str:
    """The first mistake of a validation in one sentence."""
    first = error.errors()[0]
    path = key_path(model, first["loc"])
    key = ".".join([within, *path] if within else path)
    match first["type"]:
        case "extra_forbidden":
            known = list(model_at(model, first["loc"]).model_fields)
            inner = first["input"]  # of a key that belongs to no group here, such as evaluate.num
            named = [part for part in inner if part in known] if isinstance(inner, dict) else []
            hint = f"; did you mean {named[0]}?" if named else nearest(path[-1], known)
            return f"unknown key {key}{hint} (known: {', '.join(known)})"
        case "missing":
            return f"{key} is missing"
        case "value_error":
            return str(first["ctx"]["error"])
        case "tuple_type":
            return f"{key}={first['input']!r}: a list is wanted, as in {key}=[{first['input']}]"
        case _:
            of_key = [each for each in error.errors() if key_path(model, each["loc"]) == path]
            hint = nearest(str(first["input"]), choices(first))
            return f"{key}={first['input']!r}: {alternatives(of_key)}{hint}"
