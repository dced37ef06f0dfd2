"""Build environments and agents from a validated config."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing

import torch

from memrl.agents import Parts, registry
from memrl.agents.ppo.agent import PPO
from memrl.config.models import Config, EnvConfig
from memrl.envs.make import check, make
from memrl.envs.multitask import MultiTask
from memrl.memory.core import MemoryCore
from memrl.pipeline.setup import find_device, seed_for
from memrl.rollout.env import BatchedEnv
from memrl.run.agent import Agent


def make_env(config: Config, *, num: int | None = None, seed: int | None = None) -> BatchedEnv:
    """The environments of a config, ``config.env.num`` unless ``num`` is given.

    Several tasks share them out; if there are fewer than tasks, the first tasks have one each.

    Raises:
        ValueError: an environment or an option is unknown, or several tasks do not fit together.
    """
    task, device = config.env, find_device(config.device)
    num = task.num if num is None else num
    if not task.tasks:
        return _make_one(task, num, device, seed)
    with ExitStack() as opened:
        parts = [
            opened.enter_context(closing(_make_one(one, rows, device)))
            for one, rows in zip(task.each(), _shares(num, len(task.tasks)), strict=True)
            if rows
        ]
        env = MultiTask(parts, names=task.tasks, task_id=task.task_id)
        opened.pop_all()
    if seed is not None:
        env.reset(seed)
    return env


def check_env(task: EnvConfig) -> None:
    """Check the ids and options of a config's environment without making it.

    Raises:
        ValueError: an unknown id, family or option.
    """
    for one in task.each():
        check(one.id, family=one.family, **(one.model_extra or {}))


def _shares(num: int, tasks: int) -> list[int]:
    return [num // tasks + (number < num % tasks) for number in range(tasks)]


def _make_one(
    task: EnvConfig, num: int, device: torch.device, seed: int | None = None
) -> BatchedEnv:
    """The environments of a single task."""
    try:
        return make(
            task.id,
            num,
            device,
            seed,
            family=task.family,
            prev_action=task.prev_action,
            prev_reward=task.prev_reward,
            antialias=task.antialias,
            trial=task.trial,
            **(task.model_extra or {}),
        )
    except TypeError as error:  # the environment's constructor lacks an argument
        raise ValueError(f"env.id={task.id}: {error}") from error


def make_agent(config: Config, env: BatchedEnv) -> Agent:
    """A new agent.

    Raises:
        ValueError: the agent does not support a space, or options do not fit each other.
    """
    parts = Parts(env, config.memory, config.policy, seed_for(config.seed, "train"))
    return registry.build(parts, config.agent)


def capture_graphs(agent: Agent) -> None:
    """``capture=true``: replay rollouts and the learner's minibatches from CUDA graphs.

    Raises:
        ValueError: the agent is not PPO, or its environment or device does not support it.
    """
    if not isinstance(agent, PPO):
        raise ValueError("capture=true, allowed with agent=ppo only, whose work it records")
    agent.capture()


def compile_memory(core: object, say: Callable[[str], None]) -> None:
    """``compile=true``: compile a memory's update, or ``say`` why it cannot be compiled.

    Raises:
        ValueError: this machine has no C++ compiler.
    """
    if not isinstance(core, MemoryCore):
        say("compile=true: this agent has no memory core to compile")
    elif core.loops:
        core.compile_update()
    else:
        say(f"compile=true: {core.nothing_to_compile}")
