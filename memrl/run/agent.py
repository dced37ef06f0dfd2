"""The protocols of what learns: all that a run, an evaluation or a picture needs to know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from torch import Tensor, nn

Metrics: TypeAlias = Mapping[str, float]


@runtime_checkable  # so that annotations can be checked while tests run
class Learner(Protocol):
    """Learns in iterations, counts what it has experienced, and continues from a saved state."""

    @property
    def unit(self) -> str:
        """What is counted: "env_steps" or "sequences", a column of metrics.csv."""

    @property
    def experience(self) -> int:
        """How many of them it has seen so far."""

    def learn(self, total: int, on_iteration: Callable[[Metrics], None], /) -> None:
        """Learn until ``experience`` reaches ``total``; report after every iteration.

        ``on_iteration`` may call ``state_dict`` and may raise to stop. Metrics are host floats by
        name (``train/…`` of learning, ``episode/…`` of the episodes that ended; NaN when none did).

        Raises:
            FloatingPointError: a loss or gradient became NaN or Inf; the message names it.
        """

    def state_dict(self) -> dict[str, Any]:
        """Everything a bit-exact continuation needs: nested dicts of tensors and plain values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``.

        Raises:
            ValueError: the state belongs to another configuration; the message names what differs.
        """


@runtime_checkable
class Agent(Learner, Protocol):
    """Learns from environments that it was given, and acts with a memory of its own.

    Attributes:
        env_steps: single-environment transitions experienced so far; its ``experience``.
    """

    env_steps: int

    @property
    def policy(self) -> nn.Module:
        """The network that acts; its ``core`` is the memory."""

    def begin(self, seed: int = 0, *, greedy: bool = False, ablate: str | None = None) -> None:
        """Forget the acting state and seed acting; training state is untouched.

        ``ablate``: "state" forgets before every step; "reads" zeroes what a memory returns.

        Raises:
            ValueError: the memory has no such part to ablate; the message says which it has.
        """

    def act(self, given: Any, start: Any = None) -> Any:
        """Actions for observations; the memory is carried from call to call.

        ``given`` is what ``env.reset`` returned or the whole ``Transition`` of ``env.step``, which
        says where episodes ended. Observations alone, as tensors or NumPy arrays, of B environments
        or of one, need ``start`` from the second call after ``begin`` on: True where an observation
        opens an episode, bool [B] or one flag for all. Actions have the form of the observations.

        Raises:
            ValueError: it is not said where episodes begin, the number of environments changed,
                or an observation that the agent's environment cannot show.
        """

    def memory(self) -> dict[str, Tensor]:
        """What the memory shows after the last ``act``: weights, usage …, each [B, ...]."""

    def memory_state(self) -> Any:
        """The memory itself after the last ``act``: the core's state, leaves [B, ...], or None."""
