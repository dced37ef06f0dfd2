"""A CUDA graph's stand-in where there is no such device: operations and addresses, no Python."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

READS = torch.ops.aten._local_scalar_dense.default  # what `bool`, `int` and `.item()` end in


class Tape(TorchDispatchMode):
    """Keeps every operation with the tensors it read and wrote, to undo them and to run them again.

    What is taped is executed, which a capture does not do.
    """

    def __init__(self):
        super().__init__()
        self.operations, self.before = [], {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not READS, "a value reached the host"
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
