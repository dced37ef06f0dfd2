"""A run of ``memrl train`` from Python: its config, its agent and its environment."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, final

import gymnasium
from gymnasium.vector import VectorEnv

from memrl.config.models import Config
from memrl.envs.adapters.export import TensorEnv, TensorVectorEnv
from memrl.envs.adapters.trial import Trial
from memrl.envs.adapters.wrapping import adapt
from memrl.envs.wrappers import with_previous
from memrl.memory.parts.slots import resize
from memrl.pipeline.build import make_agent, make_env
from memrl.pipeline.loading import Which, find_checkpoint, import_plugins, read_config
from memrl.rollout.env import BatchedEnv
from memrl.run.agent import Agent
from memrl.run.directory import RunDirectory
from memrl.run.global_generators import drawing_apart
from memrl.run.summary import read_summary

RunPath: TypeAlias = str | os.PathLike[str]


@final
class Run:
    """A trained run, as returned by ``memrl.open_run`` and ``memrl.train``.

    Attributes:
        path: the run's directory.
        config: the configuration of the training.
    """

    def __init__(
        self,
        directory: RunDirectory,
        config: Config,
        *,
        checkpoint: Which = "last",
        slots: int | None = None,
        agent: Agent | None = None,
    ) -> None:
        self.path: Path = directory.path
        self.config = config
        self._directory, self._checkpoint, self._slots = directory, checkpoint, slots
        if agent is not None:
            self.agent = agent  # already in its state at the end of training

    @cached_property
    def agent(self) -> Agent:
        """The agent at the checkpoint, to act with: the environments of its training are closed.

        Raises:
            CheckpointError: there is no checkpoint yet, or none is intact.
            ValueError: the memory does not take the number of slots that was asked for.
        """
        found = find_checkpoint(self._directory, self.config, self._checkpoint)
        with closing(self.env(num=self.config.env.num)) as env:
            with drawing_apart():
                agent = make_agent(self.config, env)
            agent.load_state_dict(found.state["agent"])
        if self._slots is not None:
            resize(getattr(agent.policy, "core", None), self._slots)
        return agent

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json.

        Raises:
            RunError: the run has not finished.
        """
        return read_summary(self._directory.summary)

    def env(self, num: int = 1, seed: int | None = None) -> BatchedEnv:
        """The environment of the training, with its options and wrappers.

        Args:
            num: number of environments in the batch.
            seed: makes a later ``reset()`` without a seed reproducible.
        """
        return make_env(self.config, num=num, seed=seed)

    def gymnasium_env(
        self, env: gymnasium.Env[Any, Any] | None = None, *, render_mode: str | None = None
    ) -> gymnasium.Env[Any, Any]:
        """The environment with Gymnasium's interface and the agent's observations, as NumPy arrays.

        Args:
            env: your own environment, to which the run's wrappers are added (previous action and
                reward, trials, text as tokens, action masks); by default the run's environment.
            render_mode: None, or ``rgb_array`` if the environment has pictures.

        Raises:
            ValueError: an environment of your own cannot say which of several tasks it is.
        """
        if env is None:
            return TensorEnv(self.env(), render_mode=render_mode)
        task = self.config.env
        if task.task_id:
            raise ValueError(
                "this agent sees which task it plays (env.task_id), which an environment of your "
                "own does not say: leave env out"
            )
        if task.trial is not None:
            env = Trial(env, episodes=task.trial, previous=False)
        wrapped = with_previous(
            adapt(env, self.config.device),
            action=task.prev_action or task.trial is not None,
            reward=task.prev_reward or task.trial is not None,
            antialias=task.antialias,
        )
        return TensorEnv(wrapped, render_mode=render_mode)

    def gymnasium_vector_env(self, num: int) -> VectorEnv[Any, Any, Any]:
        """``num`` environments with Gymnasium's vector interface, in same-step autoreset mode."""
        return TensorVectorEnv(self.env(num=num))


def open_run(
    path: RunPath,
    checkpoint: Which = "last",
    *,
    device: str | None = None,
    slots: int | None = None,
    plugins: Iterable[str] = (),
) -> Run:
    """Open a trained run.

    Args:
        path: the run's directory.
        checkpoint: "last" or "best".
        device: by default the one of the training.
        slots: of the memory, if not as many as at the checkpoint: the agent acts with a new state.
        plugins: names of your modules that the run needs; only these are imported.

    Raises:
        RunError: there is no such run, or it needs a module that is neither imported nor in
            ``plugins``.
        ValueError: ``checkpoint`` is neither "last" nor "best", or a device or module does not
            exist.
    """
    directory = RunDirectory.open(path)
    import_plugins(plugins, directory)
    config = read_config(directory, device=device)
    return Run(directory, config, checkpoint=checkpoint, slots=slots)


def load(
    path: RunPath,
    checkpoint: Which = "last",
    *,
    device: str | None = None,
    slots: int | None = None,
    plugins: Iterable[str] = (),
) -> Agent:
    """The agent of a run: ``open_run(…).agent``.

    Raises:
        RunError: like ``open_run``, or no checkpoint is intact.
        ValueError: like ``open_run``.
    """
    return open_run(path, checkpoint, device=device, slots=slots, plugins=plugins).agent
