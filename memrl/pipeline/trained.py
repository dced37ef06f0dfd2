"""A run of ``memrl train`` from Python: its config, its agent and its environment."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, final

import gymnasium
from gymnasium.vector import VectorEnv

from memrl.config.models import Config
from memrl.envs.adapters.export import TensorEnv, TensorVectorEnv
from memrl.envs.adapters.wrapping import adapt
from memrl.envs.wrappers import with_previous
from memrl.pipeline.build import make_agent, make_env
from memrl.pipeline.loading import Which, find_checkpoint, import_plugins, read_config
from memrl.rollout.env import BatchedEnv
from memrl.run.agent import Agent
from memrl.run.directory import RunDirectory
from memrl.run.summary import read_summary

RunPath: TypeAlias = str | os.PathLike[str]


@final
class Run:
    """A run that was trained; ``memrl.open_run`` and ``memrl.train`` return one.

    Attributes:
        path: of its directory.
        config: what it was trained with.
    """

    def __init__(
        self,
        directory: RunDirectory,
        config: Config,
        *,
        checkpoint: Which = "last",
        agent: Agent | None = None,
    ) -> None:
        self.path: Path = directory.path
        self.config = config
        self._directory, self._checkpoint = directory, checkpoint
        if agent is not None:
            self.agent = agent  # as at the end of training, which nobody has to load

    @cached_property
    def agent(self) -> Agent:
        """The agent as it was at the checkpoint.

        Raises:
            CheckpointError: there is none yet, or none is intact.
        """
        found = find_checkpoint(self._directory, self.config, self._checkpoint)
        agent = make_agent(self.config, self.env(num=self.config.env.num))
        agent.load_state_dict(found.state["agent"])
        return agent

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json.

        Raises:
            RunError: the run has not come to its end.
        """
        return read_summary(self._directory.summary)

    def env(self, num: int = 1, seed: int | None = None) -> BatchedEnv:
        """The environment that the agent learned in, options and wrappers included.

        Args:
            num: environments of the batch.
            seed: makes a later ``reset()`` without a seed repeatable.
        """
        return make_env(self.config, num=num, seed=seed)

    def gymnasium_env(
        self, env: gymnasium.Env[Any, Any] | None = None, *, render_mode: str | None = None
    ) -> gymnasium.Env[Any, Any]:
        """The environment for Gymnasium: NumPy observations as the agent reads them.

        Args:
            env: an environment of your own, which is given the run's wrappers (previous action and
                reward, text as tokens, action masks); by default the environment of the run.
            render_mode: of the run's environment: None or ``rgb_array``, where it has pictures.
        """
        if env is None:
            return TensorEnv(self.env(), render_mode=render_mode)
        task = self.config.env
        wrapped = with_previous(
            adapt(env, self.config.device),
            action=task.prev_action,
            reward=task.prev_reward,
            antialias=task.antialias,
        )
        return TensorEnv(wrapped, render_mode=render_mode)

    def gymnasium_vector_env(self, num: int) -> VectorEnv[Any, Any, Any]:
        """``num`` environments behind Gymnasium's vector interface; they reset in the same step."""
        return TensorVectorEnv(self.env(num=num))


def open_run(
    path: RunPath,
    checkpoint: Which = "last",
    *,
    device: str | None = None,
    plugins: Iterable[str] = (),
) -> Run:
    """A run that was trained before.

    Args:
        path: its directory.
        checkpoint: "last" or "best".
        device: instead of the one that it was trained on.
        plugins: modules of your own that the run was made with, to be imported; no other is.

    Raises:
        RunError: there is no such run, or it was made with a module that is neither imported nor
            named.
        ValueError: neither "last" nor "best", no such device here, or a module that is not there.
    """
    directory = RunDirectory.open(path)
    import_plugins(plugins, directory)
    return Run(directory, read_config(directory, device=device), checkpoint=checkpoint)


def load(
    path: RunPath,
    checkpoint: Which = "last",
    *,
    device: str | None = None,
    plugins: Iterable[str] = (),
) -> Agent:
    """The agent of a run: ``open_run(…).agent``.

    Raises:
        RunError: as ``open_run``, or there is no intact checkpoint.
        ValueError: as ``open_run``.
    """
    return open_run(path, checkpoint, device=device, plugins=plugins).agent
