"""Vector environments of a Gymnasium id: in this process or one process each, with a time limit."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import partial
from typing import Any, final

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from memrl.envs.adapters.checked_env import CheckedEnv
from memrl.envs.adapters.trial import Trial
from memrl.errors import EnvError
from memrl.plugins import own_error

VECTORIZATIONS = ("sync", "async", "vector_entry_point")
STEP_LIMIT_S = 600.0  # long enough for the slowest simulator to load a level
NOISY_IDS = ("BabyAI-", "MiniWorld-")  # they print rejected levels and missing driver features


def vector_env(
    id: str,
    num: int,
    *,
    vectorization: str | None = None,
    step_limit_s: float | int | None = None,
    read_text: bool = True,
    trial: int | None = None,
    **kwargs: Any,
) -> VectorEnv[Any, Any, Any]:
    """A vector environment of ``num`` environments of a Gymnasium id.

    ``sync`` steps them in this process, ``async`` in one process each. Both use SAME_STEP
    autoreset, and their errors name the environment that failed. ``vector_entry_point`` is the
    id's own vector environment with its own autoreset mode.

    Args:
        id: of the task.
        num: number of environments.
        vectorization: sync, async or vector_entry_point. None means sync, or vector_entry_point
            if the id has no single environment.
        step_limit_s: seconds that a step or reset of an environment may take, by default 600. Only
            ``async`` supports it: only a process can be stopped during a step.
        read_text: convert text in observations to tokens; otherwise drop it. An id's own vector
            environment always drops it.
        trial: episodes of one task that each environment plays as one (see `Trial`).
        kwargs: arguments of the environment.

    Raises:
        ValueError: an unknown ``vectorization``, or one that the id or a trial does not support; a
            wrong ``step_limit_s``; a package that is not installed; an unknown argument.
        EnvError: the environment's constructor raises an error of its own.
    """
    how = _vectorization(id, vectorization)
    _check_limit(step_limit_s, how)
    if how == "vector_entry_point":
        if trial is not None:
            raise ValueError(
                f"trial is {trial} with vectorization={how}, allowed: none, because a trial resets "
                "single environments"
            )
        with _named(id):
            return gymnasium.make_vec(id, num, vectorization_mode="vector_entry_point", **kwargs)
    given = read_text, trial, kwargs
    if how == "sync":
        env_fns = [partial(_make_one, id, index, *given) for index in range(num)]
        return SyncVectorEnv(env_fns, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    env_fns = [partial(_make_in_worker, os.getpid(), id, index, *given) for index in range(num)]
    try:
        workers = AsyncVectorEnv(env_fns, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    except (EOFError, ConnectionError) as error:
        raise EnvError(
            f"{id} cannot be made in a process of its own (vectorization=async)"
        ) from error
    return Watched(workers, id, STEP_LIMIT_S if step_limit_s is None else step_limit_s)


@final
class Watched(VectorWrapper):
    """An ``AsyncVectorEnv`` with a time limit; a worker that hangs or dies ends all workers.

    Args:
        workers: the vector environment, with no step or reset pending.
        name: of the environment in errors.
        step_limit_s: seconds to wait for a worker after all workers before it have answered.

    Raises:
        EnvError: in ``step`` and ``reset``: a worker hangs or its process has ended. The message
            names the environment.
    """

    env: AsyncVectorEnv

    def __init__(self, workers: AsyncVectorEnv, name: str, step_limit_s: float | int) -> None:
        super().__init__(workers)
        self._name, self._limit = name, step_limit_s

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        try:
            self.env.reset_async(seed=seed, options=options)
            self._wait("reset")
            with self._ended_by_errors():
                return self.env.reset_wait()
        except (EOFError, ConnectionError) as error:
            raise self._died("reset") from error

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        try:
            self.env.step_async(actions)
            self._wait("step")
            with self._ended_by_errors():
                return self.env.step_wait()
        except (EOFError, ConnectionError) as error:
            raise self._died("step") from error

    def close(self, **kwargs: Any) -> None:
        """Close the workers; wait at most ``step_limit_s`` for a pending step.

        If the process of one has ended already, all others are killed.
        """
        try:
            with _without_warnings():
                self.env.close(timeout=self._limit, **kwargs)
        except (EOFError, ConnectionError):  # e.g. after a signal to all processes
            self._end()

    def _wait(self, verb: str) -> None:
        for index, pipe in enumerate(self.env.parent_pipes):
            if not pipe.poll(self._limit):
                self._end()
                raise EnvError(
                    f"env {index} of {self._name}: {verb} took longer than step_limit_s = "
                    f"{self._limit:g} s"
                )

    def _died(self, verb: str) -> EnvError:
        for process in self.env.processes:
            process.join(0.1)  # a pipe may close before its process has ended
        codes = {index: process.exitcode for index, process in enumerate(self.env.processes)}
        dead = [index for index, code in codes.items() if code is not None]
        self._end()
        who = f"env {dead[0]}" if dead else "one env"
        code = codes[dead[0]] if dead else None
        return EnvError(
            f"{who} of {self._name}: its process ended during {verb} with exit code {code}"
        )

    def _end(self) -> None:
        """Kill every worker, because one that hangs does not answer to close."""
        for process in self.env.processes:
            process.kill()
            process.join()
        for pipe in self.env.parent_pipes:
            if pipe is not None:  # of a worker that raised an error
                pipe.close()
        self.env.closed = True

    @contextmanager
    def _ended_by_errors(self) -> Iterator[None]:
        """End all workers if one raised an error, without Gymnasium's three warnings about it."""
        try:
            with _without_warnings():
                yield
        except (EnvError, ValueError):
            self._end()
            raise


def _vectorization(id: str, asked: str | None) -> str:
    """The vectorization of an id: ``asked``, or the default."""
    single = gymnasium.spec(id.rpartition(":")[2]).entry_point is not None
    if asked is None:
        return "sync" if single else "vector_entry_point"
    if asked not in VECTORIZATIONS:
        raise ValueError(f"vectorization is {asked!r}, allowed: {', '.join(VECTORIZATIONS)}")
    if not single and asked != "vector_entry_point":
        raise ValueError(
            f"vectorization is {asked!r}, allowed: vector_entry_point, because {id} is a vector "
            "environment only"
        )
    return asked


def _check_limit(step_limit_s: float | int | None, vectorization: str) -> None:
    if step_limit_s is None:
        return
    if not step_limit_s > 0:
        raise ValueError(f"step_limit_s is {step_limit_s}, allowed: more than 0 seconds")
    if vectorization != "async":
        raise ValueError(
            f"step_limit_s is {step_limit_s} with vectorization={vectorization}, allowed: "
            "vectorization=async only"
        )


def _make_one(
    id: str, index: int, read_text: bool, trial: int | None, kwargs: dict[str, Any]
) -> gymnasium.Env[Any, Any]:
    quiet = id.rpartition(":")[2].startswith(NOISY_IDS)
    with _named(id), redirect_stdout(io.StringIO()) if quiet else nullcontext():
        env = gymnasium.make(id, disable_env_checker=True, **kwargs)
    checked = CheckedEnv(env, name=id, index=index, read_text=read_text, quiet=quiet)
    # The previous action and reward are added outside, as those of tensor environments.
    return checked if trial is None else Trial(checked, episodes=trial, previous=False)


def _make_in_worker(main: int, *arguments: Any) -> gymnasium.Env[Any, Any]:
    """`_make_one` in a process of its own; ``main`` is the process that starts it.

    A Ctrl-C reaches every process of a terminal. The main one saves a checkpoint, for which the
    workers have to finish their step. An environment that cannot be made ends its process with a
    sentence instead of a traceback.
    """
    if os.getpid() == main:  # Gymnasium makes one more, to see its spaces
        return _make_one(*arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return _make_one(*arguments)
    except (ValueError, EnvError) as error:
        sys.exit(f"memrl: env {arguments[1]}: {error}")


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence Gymnasium's logger."""
    level = gymnasium.logger.min_level
    gymnasium.logger.min_level = gymnasium.logger.ERROR + 1
    try:
        yield
    finally:
        gymnasium.logger.min_level = level


@contextmanager
def _named(id: str) -> Iterator[None]:
    """Name the id in errors of its constructor."""
    try:
        yield
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise ValueError(f"{id} cannot be made: {error}") from error
    except (Exception, SystemExit) as error:
        raise EnvError(f"{id} cannot be made: {own_error(error)}") from error
