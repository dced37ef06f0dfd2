"""Collecting without Python: a rollout recorded as one CUDA graph, and replayed from then on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from memrl.memory import state as states
from memrl.rollout.collect import Collector
from memrl.rollout.on_device import need_device_only
from memrl.rollout.storage import Rollout


@final
class FixedCollect:
    """``Collector.collect`` between fixed places, so that every call is the same operations.

    A graph knows addresses only. Before and after a call, all that lasts from one rollout to the
    next lies in tensors of this object; what others put in its place meanwhile (a checkpoint that
    was loaded) is copied there.
    """

    def __init__(self, collector: Collector, rollout: Rollout) -> None:
        self.collector, self.rollout = collector, rollout
        collector.asks_host = False
        self._places = states.clone(_held(collector))

    def __call__(self) -> None:
        """Fill the rollout with the next steps."""
        self.settle()
        self.collector.collect(self.rollout)
        self.settle()

    @torch.no_grad()
    def settle(self) -> None:
        """Bring what the collector holds to its place."""
        # All are copied before any is written: one leaf may be another's place.
        moved = states.map_state(
            lambda place, leaf: place if leaf is place else leaf.clone(),
            self._places,
            _held(self.collector),
        )
        states.map_state(Tensor.copy_, self._places, moved)
        _hold(self.collector, self._places)


@final
class CapturedCollect:
    """Collects into one rollout: first as ever, from the second call on by replaying a graph.

    The first call makes what libraries allocate when they are first used. Every call writes the
    same tensors of the rollout. The policy's parameters may be changed in place, not replaced.
    Nobody may look at the device meanwhile: the critic values the final observation of every step,
    not only of those that cut an episode off.

    Raises:
        ValueError: a step of the environments or the memory needs the host, or the device is not
            CUDA.
    """

    def __init__(self, collector: Collector, rollout: Rollout) -> None:
        carried = need_device_only(collector)
        self._collect = FixedCollect(collector, rollout)
        self._device = collector.env.device
        self._generators = (collector.generator, *carried.generators)
        self._replay: Callable[[], None] | None = None
        self._warm = False

    def __call__(self) -> None:
        """Fill the rollout with the next steps."""
        if not self._warm:
            run_aside(self._collect, self._device)
            self._warm = True
            return
        self._collect.settle()
        if self._replay is None:
            self._replay = record(self._collect, self._device, self._generators)
        self._replay()


def run_aside(body: Callable[[], None], device: torch.device) -> None:
    """Call ``body`` on a stream of its own, as what will be captured has to be called before."""
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
    """Capture ``body``, which is not executed; what is returned executes it once a call.

    ``generators`` are all that it draws from: every replay goes on where they stand.
    """
    with torch.cuda.device(device):
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.graph(graph, stream=stream):
            body()
    return graph.replay


def _held(collector: Collector) -> Any:
    """The tensors that one rollout leaves to the next, but for those that are edited in place."""
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


def _hold(collector: Collector, held: Any) -> None:
    """Let a collector go on from tensors as ``_held`` gives them."""
    obs, start, core, episode_return, episode_length, env = held
    collector.obs = dict(zip(sorted(collector.obs), obs, strict=True))
    collector.start, collector.state = start, core
    collector.episode_return, collector.episode_length = episode_return, episode_length
    collector.env.carry(env)
