"""The protocols of learners and agents, as runs, evaluations and pictures use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from torch import Tensor, nn

Metrics: TypeAlias = Mapping[str, float]


@runtime_checkable  # so that annotations can be checked while tests run
class Learner(Protocol):
    """Learns in iterations, counts its experience, and continues from a saved state."""

    @property
    def unit(self) -> str:
        """The unit of experience, "env_steps" or "sequences": a column of metrics.csv."""

    @property
    def experience(self) -> int:
        """Env steps or sequences so far."""

    def learn(self, total: int, on_iteration: Callable[[Metrics], None], /) -> None:
        """Learn until ``experience`` reaches ``total``; report after every iteration.

        ``on_iteration`` may call ``state_dict``, and may raise to stop. Metrics are Python floats
        by name: ``train/…`` about learning, ``episode/…`` about ended episodes, NaN if none ended.

        Raises:
            FloatingPointError: a loss or gradient became NaN or infinite; the message names it.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that a bit-exact continuation needs: nested dicts of tensors and plain values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``.

        Raises:
            ValueError: the state belongs to another configuration; the message names what differs.
        """


@runtime_checkable
class Agent(Learner, Protocol):
    """Learns in environments, and acts with a memory state separate from training's.

    Attributes:
        env_steps: single-environment transitions so far; its ``experience``.
    """

    env_steps: int

    @property
    def policy(self) -> nn.Module:
        """The network that acts; its ``core`` is the memory."""

    def begin(self, seed: int = 0, *, greedy: bool = False, ablate: str | None = None) -> None:
        """Reset the acting state and seed the sampling; the training state is unchanged.

        ``ablate``: "state" resets the state before every step; any other part is one of the
        memory's ``ablations``, such as "reads", which zeroes what is read.

        Raises:
            ValueError: the memory has no such part to ablate; the message names those it has.
        """

    def act(self, given: Any, start: Any = None) -> Any:
        """Actions for observations; the memory state is carried from call to call.

        ``given`` is the result of ``env.reset``, or the ``Transition`` of ``env.step``, which marks
        ended episodes. Observations alone (tensors or NumPy arrays, of B environments or of one)
        need ``start`` from the second call after ``begin`` on: True where an observation is the
        first of an episode, bool [B] or one flag for all. Actions have the observations' form.

        Raises:
            ValueError: ``start`` is missing, the number of environments changed, or an observation
                is outside the agent's observation space.
        """

    def memory(self) -> dict[str, Tensor]:
        """The memory's diagnostics after the last ``act``: weights, usage …, each [B, ...]."""

    def memory_state(self) -> Any:
        """The core's state after the last ``act``, leaves [B, ...]; None if there is none."""


@runtime_checkable
class TellsOutputs(Protocol):
    """An agent that tells what its network said, for those who look at its decisions."""

    def outputs(self) -> dict[str, Tensor]:
        """After the last ``act``: ``probabilities``, ``action_values`` [B, A], ``value`` [B].

        Entries that the network does not have are left out; all are before the first ``act``.
        """


@runtime_checkable
class Remembering(Agent, Protocol):
    """An agent whose acting memory is a state that can be replaced between two steps."""

    def replace_memory(self, state: Any) -> None:
        """Act on from ``state``, of the same shapes as ``memory_state``; see ``memrl probe``.

        Raises:
            ValueError: nothing was acted on yet, or the state has leaves of other shapes.
        """
