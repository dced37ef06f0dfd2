"""An SB3-style learner in a separate process that trains and evaluates on request.

There it runs as its users run it: ``memrl``'s settings for its own process (how threads wait, how
freed memory is reused) would also speed up other libraries.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from memrl.errors import install_command
from memrl.memory import registry

POSITION_ONLY = "PositionOnlyCartPole"  # CartPole-v1 without its two velocities


class LearnerSpec(BaseModel):
    """What the process trains; options have SB3's names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learner: Literal["RecurrentPPO", "MemoryPPO"] = "RecurrentPPO"
    env: str  # an id of MiniGrid, or `POSITION_ONLY`
    source: Literal["package", "tensor"] = "package"  # MiniGrid's environments or memrl's
    num: int = 16
    n_steps: int = 128
    batch_size: int = 128
    n_epochs: int = 4
    learning_rate: float = 3e-4
    memory: str = "lstm"
    hidden_dim: int = 128
    bptt: int | None = None  # of MemoryPPO; RecurrentPPO splits at episodes and minibatches
    one_memory: bool = True  # RecurrentPPO's actor and critic share an LSTM, as in MemoryPPO
    seed: int = 0
    threads: int | None = None

    @field_validator("memory")
    @classmethod
    def _check_memory(cls, memory: str) -> str:
        registry.core_class(memory)  # checked before hours of other learners
        return memory

    @property
    def name(self) -> str:
        """For tables."""
        sizes = f"{self.num} × {self.n_steps}, minibatch {self.batch_size}"
        if self.learner == "RecurrentPPO":
            return f"RecurrentPPO of sb3-contrib {_version()}, {sizes}"
        return f"MemoryPPO {self.memory}, {sizes}"


class LearnerProcess:
    """A process with the learner of ``spec``; `memrl.bench.learner_server` runs in it.

    As a context manager it ends the process at the end of its block, also if that raises.

    Raises:
        ValueError: sb3-contrib is not installed, or the task is not supported.
    """

    def __init__(self, spec: LearnerSpec) -> None:
        if importlib.util.find_spec("sb3_contrib") is None:
            raise ValueError(f"sb3-contrib is not installed: {install_command('peer')}")
        if not spec.env.startswith("MiniGrid-") and spec.env != POSITION_ONLY:
            raise ValueError(f"env={spec.env}, allowed: ids of MiniGrid")
        self.name = spec.name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "memrl.bench.learner_server", spec.model_dump_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"},
        )

    def __enter__(self) -> LearnerProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, **request: int) -> dict[str, Any]:
        """``learn=N``: train for N env steps; ``evaluate=N``: play N episodes.

        The answers are described in `memrl.bench.learner_server`.

        Raises:
            ValueError: the learner's constructor failed, with its message.
            RuntimeError: the process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with code {self._process.wait()}")
        parsed: dict[str, Any] = json.loads(answer)
        if "error" in parsed:
            raise ValueError(parsed["error"])
        return parsed

    def speed(self, steps: int) -> float:
        """Env steps per second of a window of ``steps``, rounded up to whole rollouts."""
        answer = self.ask(learn=steps)
        return float(answer["env_steps"] / answer["seconds"])

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.terminate()
        self._process.communicate()


def _version() -> str:
    try:
        return importlib.metadata.version("sb3-contrib")
    except importlib.metadata.PackageNotFoundError:
        return "(missing)"
