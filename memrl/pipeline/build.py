"""From a checked config to environments and agents."""

from __future__ import annotations

from collections.abc import Callable

from memrl.agents import Parts, registry
from memrl.agents.ppo.agent import PPO
from memrl.config.models import Config
from memrl.envs.make import make
from memrl.memory.core import MemoryCore
from memrl.pipeline.setup import find_device, seed_for
from memrl.rollout.env import BatchedEnv
from memrl.run.agent import Agent


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


def make_agent(config: Config, env: BatchedEnv) -> Agent:
    """An agent that has learned nothing yet.

    Raises:
        ValueError: a space that it cannot read or act in, or options that do not fit.
    """
    parts = Parts(env, config.memory, config.policy, seed_for(config.seed, "train"))
    return registry.build(parts, config.agent)


def capture_rollouts(agent: Agent) -> None:
    """``capture=true``: replay whole rollouts from a CUDA graph.

    Raises:
        ValueError: the agent collects no rollouts, or its environment or device cannot.
    """
    if not isinstance(agent, PPO):
        raise ValueError("capture=true records rollouts, which agent=ppo alone has")
    agent.capture()


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
