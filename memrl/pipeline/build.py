"""Build environments and agents from a validated config."""

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
    """The environments of a config, ``config.env.num`` unless ``num`` is given.

    Raises:
        ValueError: the environment or an option is unknown.
    """
    task = config.env
    try:
        return make(
            task.id,
            task.num if num is None else num,
            find_device(config.device),
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
