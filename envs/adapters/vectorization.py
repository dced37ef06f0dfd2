"""Copies of a Gymnasium id in this process or in their own, none of which may hang for ever."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import partial
from typing import Any, final

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from memrl.envs.adapters.checked_env import CheckedEnv

VECTORIZATIONS = ("sync", "async", "vector_entry_point")
STEP_LIMIT_S = 600.0  # long enough for the slowest simulator to load a level
NOISY_IDS = ("BabyAI-", "MiniWorld-")  # of levels thrown away, and of what a driver cannot do


def vector_env(
    id: str,
    num: int,
    *,
    vectorization: str | None = None,
    step_limit_s: float | int | None = None,
    read_text: bool = True,
    **kwargs: Any,
) -> VectorEnv[Any, Any, Any]:
    """``num`` copies of a Gymnasium id: in this process, one process each, or as the id provides.

    ``sync`` and ``async`` reset in the step that ends an episode, and name the copy that fails;
    ``vector_entry_point`` is the id's own vector environment with its own reset mode.

    Args:
        id: of the task.
        num: copies.
        vectorization: sync, async or vector_entry_point; None is sync, or the last one where an id
            has nothing else.
        step_limit_s: seconds that a step or reset of a copy may take, by default 600; with
            ``async`` alone, since only a process can be stopped in the middle of a step.
        read_text: make tokens of text in observations; else it is dropped, as it always is from an
            id's own vector environment.
        kwargs: go to the environment.

    Raises:
        ValueError: another word for ``vectorization``, or one that the id cannot follow; a limit
            that cannot be kept; an id that lacks a package, or an argument that its environment
            does not take.
    """
    how = _vectorization(id, vectorization)
    _check_limit(step_limit_s, how)
    if how == "vector_entry_point":
        with _named(id):
            return gymnasium.make_vec(id, num, vectorization_mode="vector_entry_point", **kwargs)
    copies = [partial(_copy, id, index, read_text, kwargs) for index in range(num)]
    if how == "sync":
        return SyncVectorEnv(copies, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    workers = AsyncVectorEnv(copies, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    return Watched(workers, id, STEP_LIMIT_S if step_limit_s is None else step_limit_s)


@final
class Watched(VectorWrapper):
    """Copies in processes, of which one that hangs or dies is named, and all are ended.

    Args:
        workers: the copies; nothing may be under way in them.
        name: what to call the environment in errors.
        step_limit_s: seconds; a copy that has not answered that long after all before it have is
            given up.

    Raises:
        RuntimeError: in ``step`` and ``reset``: a copy hangs or its process has ended.
    """

    env: AsyncVectorEnv

    def __init__(self, workers: AsyncVectorEnv, name: str, step_limit_s: float | int) -> None:
        super().__init__(workers)
        self._name, self._limit = name, step_limit_s

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        try:
            self.env.reset_async(seed=seed, options=options)
            self._wait("reset")
            return self.env.reset_wait()
        except (EOFError, ConnectionError) as error:
            raise self._died("reset") from error

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        try:
            self.env.step_async(actions)
            self._wait("step")
            return self.env.step_wait()
        except (EOFError, ConnectionError) as error:
            raise self._died("step") from error

    def close(self, **kwargs: Any) -> None:
        """End the copies; a step under way may take its limit and no longer."""
        self.env.close(timeout=self._limit, **kwargs)

    def _wait(self, verb: str) -> None:
        for copy, pipe in enumerate(self.env.parent_pipes):
            if not pipe.poll(self._limit):
                self._end()
                raise RuntimeError(
                    f"copy {copy} of {self._name}: {verb} took longer than {self._limit:g} s "
                    "(step_limit_s)"
                )

    def _died(self, verb: str) -> RuntimeError:
        for process in self.env.processes:
            process.join(0.1)  # a closed pipe may be seen before the end of its process
        codes = {copy: process.exitcode for copy, process in enumerate(self.env.processes)}
        dead = [copy for copy, code in codes.items() if code is not None]
        self._end()
        who = f"copy {dead[0]}" if dead else "a copy"
        code = codes[dead[0]] if dead else None
        return RuntimeError(
            f"{who} of {self._name}: its process ended during {verb} with exit code {code}"
        )

    def _end(self) -> None:
        """Kill every worker: one that hangs does not listen."""
        for process in self.env.processes:
            process.kill()
            process.join()
        for pipe in self.env.parent_pipes:
            pipe.close()
        self.env.closed = True


def _vectorization(id: str, asked: str | None) -> str:
    """How copies of an id are made, as asked or as the id allows."""
    single = gymnasium.spec(id.rpartition(":")[2]).entry_point is not None
    if asked is None:
        return "sync" if single else "vector_entry_point"
    if asked not in VECTORIZATIONS:
        raise ValueError(f"vectorization is {asked!r}, allowed: {', '.join(VECTORIZATIONS)}")
    if not single and asked != "vector_entry_point":
        raise ValueError(
            f"vectorization is {asked!r}, but {id} exists as a vector environment only; "
            "allowed: vector_entry_point, or nothing"
        )
    return asked


def _check_limit(step_limit_s: float | int | None, vectorization: str) -> None:
    if step_limit_s is None:
        return
    if not step_limit_s > 0:
        raise ValueError(f"step_limit_s is {step_limit_s}, allowed: more than 0 seconds")
    if vectorization != "async":
        raise ValueError(
            f"step_limit_s is {step_limit_s} with vectorization={vectorization}; "
            "a step can be stopped with vectorization=async only"
        )


def _copy(id: str, index: int, read_text: bool, kwargs: dict[str, Any]) -> CheckedEnv:
    quiet = id.rpartition(":")[2].startswith(NOISY_IDS)
    with _named(id), redirect_stdout(io.StringIO()) if quiet else nullcontext():
        env = gymnasium.make(id, disable_env_checker=True, **kwargs)
    return CheckedEnv(env, name=id, copy=index, read_text=read_text, quiet=quiet)


@contextmanager
def _named(id: str) -> Iterator[None]:
    """Say of which id a package is missing, or which one lacks an argument."""
    try:
        yield
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise ValueError(f"{id} cannot be made: {error}") from error
