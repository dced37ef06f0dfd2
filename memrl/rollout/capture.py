"""Capture work of fixed shapes as a CUDA graph, above all the collection of a rollout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from memrl.memory import state as states
from memrl.rollout.capture_checks import check_capturable
from memrl.rollout.collect import Collector
from memrl.rollout.storage import Rollout


@final
class FixedCollect:
    """``Collector.collect`` with its state in fixed tensors, so that a graph can be replayed.

    A CUDA graph refers to memory addresses. So before and after a call, the collector's state lies
    in tensors that this object owns. If others replace it in between, as loading a checkpoint does,
    the new values are copied there.
    """

    def __init__(self, collector: Collector, rollout: Rollout) -> None:
        self.collector, self.rollout = collector, rollout
        collector.asks_host = False
        self._fixed = states.clone(_state_of(collector))

    def __call__(self) -> None:
        """Fill the rollout with the next steps."""
        self.sync()
        self.collector.collect(self.rollout)
        self.sync()

    @torch.no_grad()
    def sync(self) -> None:
        """Copy the collector's state into the fixed tensors."""
        # Clone all leaves before writing any: one leaf may be another leaf's fixed tensor.
        moved = states.map_state(
            lambda fixed, leaf: fixed if leaf is fixed else leaf.clone(),
            self._fixed,
            _state_of(self.collector),
        )
        states.map_state(Tensor.copy_, self._fixed, moved)
        _set_state(self.collector, self._fixed)


@final
class CapturedCollect:
    """Collects into one rollout: directly at the first call, then by replaying a graph.

    Every call writes to the same tensors of the rollout. The policy's parameters may change in
    place; they must not be replaced. The host cannot read values during a replay, so the critic
    evaluates the final observation of every step, not only of truncated ones.

    Raises:
        ValueError: a step of the environments needs the host, or acting or learning does by the
            memory, or the device is not CUDA.
    """

    def __init__(self, collector: Collector, rollout: Rollout) -> None:
        carried = check_capturable(collector)
        self._collect = FixedCollect(collector, rollout)
        generators = (collector.generator, *carried.generators)
        self._replayed = Replayed(self._collect, collector.env.device, generators)

    def __call__(self) -> None:
        """Fill the rollout with the next steps."""
        self._collect.sync()
        self._replayed()


@final
class Replayed:
    """Calls ``body``: directly at the first call, then by replaying a graph.

    The first call is a warm-up, in which libraries allocate their buffers. ``body`` works on the
    same tensors at every call, and reads none on the host. ``generators`` are all that it uses but
    torch's own.
    """

    def __init__(
        self,
        body: Callable[[], None],
        device: torch.device,
        generators: tuple[torch.Generator, ...] = (),
    ) -> None:
        self._body, self._device, self._generators = body, device, generators
        self._replay: Callable[[], None] | None = None
        self._warm = False

    def __call__(self) -> None:
        """Do what ``body`` does."""
        if not self._warm:
            run_on_side_stream(self._body, self._device)
            self._warm = True
            return
        if self._replay is None:
            self._replay = record(self._body, self._device, self._generators)
        self._replay()


def run_on_side_stream(body: Callable[[], None], device: torch.device) -> None:
    """Call ``body`` on a side stream, the warm-up that capturing requires."""
    with torch.cuda.device(device):
        main = torch.cuda.current_stream()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(main)
        with torch.cuda.stream(side):
            body()
        main.wait_stream(side)


def record(
    body: Callable[[], None], device: torch.device, generators: tuple[torch.Generator, ...]
) -> Callable[[], None]:
    """Capture ``body`` without executing it; each call of the returned function executes it.

    ``generators`` are all generators that ``body`` uses; every replay continues their streams.
    """
    with torch.cuda.device(device):
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.graph(graph, stream=stream):
            body()
    return graph.replay


def _state_of(collector: Collector) -> Any:
    """The collector's state, without the tensors that are edited in place."""
    carried = collector.env.carried()
    assert carried is not None
    return (
        tuple(collector.obs[key] for key in sorted(collector.obs)),
        collector.start,
        collector.state,
        collector.episode_return,
        collector.episode_length,
        carried.state,
    )


def _set_state(collector: Collector, held: Any) -> None:
    """Set a collector's state from the tensors of ``_state_of``."""
    obs, start, core, episode_return, episode_length, env = held
    collector.obs = dict(zip(sorted(collector.obs), obs, strict=True))
    collector.start, collector.state = start, core
    collector.episode_return, collector.episode_length = episode_return, episode_length
    collector.env.carry(env)
