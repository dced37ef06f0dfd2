"""An SB3-style learner in a process of its own, trained a window at a time when told to.

There it runs as its users run it. What ``memrl`` sets for its own process (how threads wait, how
freed memory is kept) makes others faster as well, and is no part of what they install.
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

from memrl.memory import registry

POSITION_ONLY = "PositionOnlyCartPole"  # CartPole-v1 without its two velocities


class Spec(BaseModel):
    """What the process trains; the words are SB3's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learner: Literal["RecurrentPPO", "MemoryPPO"] = "RecurrentPPO"
    env: str  # an id of MiniGrid, or `POSITION_ONLY`
    source: Literal["package", "tensor"] = "package"  # which MiniGrid: the package's or ours
    copies: int = 16
    n_steps: int = 128
    batch_size: int = 128
    n_epochs: int = 4
    learning_rate: float = 3e-4
    memory: str = "lstm"
    hidden_dim: int = 128
    bptt: int | None = None  # of MemoryPPO; RecurrentPPO cuts at episodes and minibatches
    one_memory: bool = True  # actor and critic of RecurrentPPO on one LSTM, as in MemoryPPO
    seed: int = 0
    threads: int | None = None

    @field_validator("memory")
    @classmethod
    def _memory_is_known(cls, memory: str) -> str:
        registry.core_class(memory)  # here, not after an hour of other learners
        return memory

    @property
    def name(self) -> str:
        """For tables."""
        sizes = f"{self.copies} × {self.n_steps}, minibatch {self.batch_size}"
        if self.learner == "RecurrentPPO":
            return f"RecurrentPPO of sb3-contrib {_version()}, {sizes}"
        return f"MemoryPPO {self.memory}, {sizes}"


class Peer:
    """A process that holds the learner of ``spec``.

    Raises:
        ValueError: sb3-contrib is not installed (how to get it is said), or no such task.
    """

    def __init__(self, spec: Spec) -> None:
        if importlib.util.find_spec("sb3_contrib") is None:
            raise ValueError("the peer is missing: pip install 'memrl[peer]'")
        if not spec.env.startswith("MiniGrid-") and spec.env != POSITION_ONLY:
            raise ValueError(f"the peer is set up for MiniGrid only, env is {spec.env}")
        self.name = spec.name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "memrl.bench.peer_process", spec.model_dump_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"},
        )

    def ask(self, **question: int) -> dict[str, Any]:
        """``learn=N``: train for N env steps; ``evaluate=N``: play N episodes. See `served`.

        Raises:
            ValueError: the learner cannot be made: what its constructors say.
            RuntimeError: the process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with code {self._process.wait()}")
        parsed: dict[str, Any] = json.loads(answer)
        if "refused" in parsed:
            raise ValueError(parsed["refused"])
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
