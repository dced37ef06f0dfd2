"""From a config to a running agent: the only place that knows environments, agents and runs."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import torch
import yaml  # type: ignore[import-untyped]
from omegaconf import OmegaConf

from memrl.agent import Agent
from memrl.agents import menu
from memrl.config import Common, Config, check
from memrl.envs.catalogue import EnvCard
from memrl.envs.make import card, make
from memrl.envs.minigrid.render import render_view
from memrl.errors import CheckpointError, RunError
from memrl.memory.core import MemoryCore
from memrl.nn.observation import GRID_SIDE
from memrl.rollout.env import BatchedEnv, Obs
from memrl.run.allocator import keep_freed_memory
from memrl.run.checkpoints import Checkpoint, Checkpoints
from memrl.run.directory import Command, RunDirectory
from memrl.saved.atomic import write_atomically

RunPath: TypeAlias = str | os.PathLike[str]
C = TypeVar("C", bound=Common)
Which: TypeAlias = Literal["last", "best"]


def prepare(config: Common) -> None:
    """Seed the global generators and set torch's threads; the device must exist.

    Raises:
        ValueError: no such device here.
    """
    find_device(config.device)
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    keep_freed_memory()
    random.seed(config.seed)
    np.random.seed(config.seed)
    torch.manual_seed(config.seed)


def find_device(name: str) -> torch.device:
    """A device of this machine.

    Raises:
        ValueError: torch knows no such device, or this machine has none.
    """
    here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ValueError(
            f"device={name} cannot be used on this machine (it has: {', '.join(here)})"
        ) from None
    return device


def stream(seed: int, purpose: Literal["train", "evaluate", "watch"]) -> int:
    """A seed for one purpose: no two purposes of one run, nor two runs, share their episodes."""
    key = ("train", "evaluate", "watch").index(purpose)
    return int(np.random.SeedSequence(seed, spawn_key=(key,)).generate_state(1)[0])


def make_env(config: Config, *, num: int | None = None, seed: int | None = None) -> BatchedEnv:
    """The task of a config, in ``config.env.num`` copies unless ``num`` is given.

    Raises:
        ValueError: an unknown environment or option.
    """
    task = config.env
    try:
        return make(
            task.id,
            num or task.num,
            find_device(config.device),
            seed,
            family=task.family,
            prev_action=task.prev_action,
            prev_reward=task.prev_reward,
            antialias=task.antialias,
            **(task.model_extra or {}),
        )
    except TypeError as error:  # an argument that the environment's own constructor lacks
        raise ValueError(f"env.id={task.id}: {error}") from error


def card_of(config: Config) -> EnvCard:
    """What is known of the task of a config."""
    task = config.env
    options = task.model_extra or {}
    known = card(task.id, family=task.family, prev_action=task.prev_action, **options)
    if task.prev_reward and known.levels is not None and known.levels.score == "return":
        # Where steps pay, what the last one paid tells how to go on.
        return known._replace(levels=known.levels._replace(memoryless=None))
    return known


def references(config: Config, *, success: bool) -> dict[str, float]:
    """Levels to hold a curve of success, or else of returns, against; empty if none is known."""
    levels = card_of(config).levels
    comparable = levels is not None and (levels.score == "success") == success
    return levels.lines() if levels and comparable else {}


def draw_seen(obs: Obs) -> Any:
    """What copy 0 sees, where that is a picture or a grid of symbols (then drawn); else None."""
    image = obs.get("image")
    if image is None or image.dtype != torch.uint8 or image.dim() != 4 or image.shape[3] != 3:
        return None
    if max(image.shape[1:3]) >= GRID_SIDE:
        return image[0].cpu().numpy()
    return render_view(image[0])


def make_agent(config: Config, env: BatchedEnv) -> Agent:
    """An agent that has learned nothing yet.

    Raises:
        ValueError: a space that it cannot read or act in, or options that do not fit.
    """
    parts = menu.Parts(env, config.memory, config.policy, stream(config.seed, "train"))
    return menu.build(parts, config.agent)


def load(run: RunPath, checkpoint: Which = "last", *, device: str | None = None) -> Agent:
    """The agent of a run, as it was at its last or best checkpoint.

    Raises:
        RunError: there is no such run, or no intact checkpoint in it.
        ValueError: neither "last" nor "best", or no such device here.
    """
    directory = RunDirectory.open(run)
    config = read_config(directory, device=device)
    found = find_checkpoint(directory, config, checkpoint)
    agent = make_agent(config, make_env(config))
    agent.load_state_dict(found.state["agent"])
    return agent


def find_checkpoint(directory: RunDirectory, config: Config, which: Which = "last") -> Checkpoint:
    """A checkpoint of a run that was trained with ``config``.

    Raises:
        CheckpointError: there is none yet, or none is intact.
        ValueError: neither "last" nor "best".
    """
    if which not in ("last", "best"):
        raise ValueError(f"checkpoint={which}: allowed are last and best")
    kept = checkpoints_of(directory, config)
    found = kept.last() if which == "last" else kept.best()
    if found is None:
        again = directory.resume_command()
        raise CheckpointError(f"{directory} has no {which} checkpoint yet; {again} continues it")
    return found


def checkpoints_of(directory: RunDirectory, config: Common, **options: Any) -> Checkpoints:
    """The checkpoints of a run, which must agree with ``config`` in all that shapes a state."""
    parts = config.model_dump(mode="json", include=set(config.identity))
    return Checkpoints(directory.checkpoints, fingerprint=parts, **options)


def dump(config: Common) -> str:
    """The config as YAML, the way a run keeps it."""
    return OmegaConf.to_yaml(config.model_dump(mode="json"))


def read_config(run: RunDirectory, **changes: Any) -> Config:
    """The config of a run of ``memrl train``, as ``read_config_as``."""
    return read_config_as(Config, run, **changes)


def read_config_as(model: type[C], run: RunDirectory, **changes: Any) -> C:
    """The config of a run; keys that are given and not None replace what it says.

    Raises:
        RunError: its config.yaml is not readable as one, or another command made it.
        ValueError: a change that the config's model refuses.
    """
    changed = {key: value for key, value in changes.items() if value is not None}
    try:
        plain: Any = OmegaConf.to_container(OmegaConf.load(run.config))
        made_by: Command = "fit" if "task" in plain else "train"
        if made_by != run.command:
            raise RunError(f"{run} was made by memrl {made_by}, which this command cannot use")
        check(plain, model)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise RunError(f"{run.config} does not hold a config of this version: {error}") from error
    return check({**plain, **changed}, model)


def new_directory(config: Common, *, sweep: bool = False) -> Path:
    """Where a new run goes: ``run.dir``, or a name of its own under ``run.root``.

    The jobs of a sweep share their config's ``run.dir``: each gets a directory inside it.
    """
    if config.run.dir is not None and not sweep:
        return config.run.dir
    task = config.subject.replace("/", "-")
    name = f"{task}-{config.learner_name}-seed{config.seed}"
    root = config.run.dir or config.run.root
    tries = (root / (f"{name}-{n}" if n > 1 else name) for n in range(1, 1_000_000))
    return next(path for path in tries if not path.exists())


def open_run(
    config: Common,
    target: Path | RunDirectory | None,
    command: Command,
    unit: str,
    say: Callable[[str], None],
) -> tuple[RunDirectory, Checkpoint | None]:
    """The directory of a run, and the checkpoint to continue from.

    Args:
        config: of the run.
        target: where a new run goes, by default ``new_directory``; an opened one is continued.
        command: that makes it.
        unit: of what a checkpoint counts, for the person at the terminal.
        say: receives sentences for that person.

    Raises:
        RunError: the directory is taken, the disk is full, or no checkpoint of a run to be
            continued is intact.
    """
    if not isinstance(target, RunDirectory):
        path = target or new_directory(config)
        return RunDirectory.create(path, dump(config), command=command), None
    resume = checkpoints_of(target, config, warn=say).last()
    if resume is None:
        say(f"{target} has no checkpoint yet: it starts anew from its config.yaml")
    else:
        say(f"continuing {target} after {resume.experience:,} {unit.replace('_', ' ')}")
    write_atomically(target.config, dump(config).encode())  # its length may have changed
    return target, resume


def compile_memory(core: object, say: Callable[[str], None]) -> None:
    """``compile=true``: compile a memory's update, or ``say`` that there is none to compile.

    Raises:
        ValueError: this machine has no C++ compiler.
    """
    if not isinstance(core, MemoryCore):
        say("compile=true: this agent has no memory core, hence nothing to compile")
    elif core.loops:
        core.compile_update()
    else:
        say(f"compile=true: {core.nothing_to_compile}")
