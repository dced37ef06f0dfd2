"""A CUDA graph's stand-in where there is no such device: operations and addresses, no Python."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from memrl.rollout import capture

INDEX = torch.ops.aten.index.Tensor


class Tape(TorchDispatchMode):
    """Keeps every operation with the tensors it read and wrote, to undo them and to run them again.

    What is taped is executed, which a capture does not do.
    """

    def __init__(self):
        super().__init__()
        self.operations, self.before = [], {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not reads(func, args), "a value reached the host"
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            for tensor in tensors((args, kwargs)):
                storage = tensor.untyped_storage()
                self.before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        out = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, out))
        return out

    def undo(self):
        for storage, value in self.before.values():
            storage.copy_(value)

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, out in self.operations:
            again = func(*args, **kwargs)
            for place, value in zip(tensors(out), tensors(again), strict=True):
                if place.data_ptr() != value.data_ptr():  # else it was written in place
                    place.copy_(value)


class NothingRead(TorchDispatchMode):
    """Fails where a value reaches the host."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not reads(func, args), "a value reached the host"
        return func(*args, **(kwargs or {}))


def reads(func, args):
    """Whether the host waits for values: `.item()`, or a shape that depends on them."""
    if func is INDEX:
        return any(x is not None and not x.dtype.is_signed for x in args[1])  # masks
    return {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & {*func.tags}


def stand_in(monkeypatch):
    """Let agents capture, on a tape."""
    monkeypatch.setattr(capture, "check_capturable", lambda collector: collector.env.carried())
    monkeypatch.setattr(capture, "run_on_side_stream", run_on_side_stream)
    monkeypatch.setattr(capture, "record", record)
    # On a CPU it looks at its range on the host; on CUDA its kernel does.
    monkeypatch.setattr(
        functional, "one_hot", lambda x, n: (x[..., None] == torch.arange(n)).long()
    )


def tensors(values):
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def run_on_side_stream(body, device):
    """As ``memrl.rollout.capture.run_on_side_stream``."""
    body()


def record(body, device, generators):
    """As ``memrl.rollout.capture.record``."""
    states = [generator.get_state() for generator in generators]
    tape = Tape()
    with tape:
        body()
    tape.undo()
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    return tape.replay


@pytest.fixture
def captured(monkeypatch):
    """Let an agent capture, on a tape."""
    stand_in(monkeypatch)

    def turn(agent):
        agent.capture()
        return agent

    return turn
