"""Exports one step of a policy to a file that runs without memrl: ONNX or torch.export (.pt2).

The step maps named tensors to named tensors, the same in both formats, for any batch size B ≥ 1:

====================  ================================================================
in ``KEY``            each entry of the observation, as the policy receives it
in ``start``          bool [B], True at the first step of an episode
in ``state.…``        the memory's state, leaf by leaf
out ``action``        the most probable; counts from zero, and a ``Box`` is not clipped
out ``logits``        log-probabilities; those of several choices are concatenated
out ``mean``, ``std`` in place of ``logits`` if the action space is a ``Box``
out ``value``         [B], the critic's
out ``next_state.…``  the input ``state.…`` of the next step
====================  ================================================================

The initial state is built in: where ``start`` is True it replaces the given state, whatever its
values. So begin with zeros and ``start`` True::

    session = onnxruntime.InferenceSession("policy.onnx")
    names = [output.name for output in session.get_outputs()]
    out = dict(zip(names, session.run(names, inputs)))      # a dict of numpy arrays

    out = torch.export.load("policy.pt2").module()(inputs)  # a dict of tensors on the CPU

Older versions of torch need the keys of a .pt2's inputs in the order of this table.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple, final

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.export import ExportedProgram

import memrl
from memrl.checkpoint.atomic import write_atomically
from memrl.errors import install_command
from memrl.memory.state import flatten, unflatten
from memrl.policies.actor_critic import Policy
from memrl.rollout.spaces import tensor_dtype

SUFFIXES = (".onnx", ".pt2")
_NUMBERED = "the most probable, counted from 0"
METADATA = "memrl.json"  # of a .pt2, among its extra files
ONNX_PACKAGES = ("onnx", "onnxscript")  # what torch's exporter imports
OWN_NAMES = {"start", "action", "logits", "mean", "std", "value"}
EXAMPLE_ROWS = 2  # of the traced batch; torch.export would make a batch size of 1 constant


class Port(NamedTuple):
    """The name, dtype and shape of an input or output."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]  # of one row: the tensor is [B, *shape]

    def __str__(self) -> str:
        axes = ", ".join(["B", *map(str, self.shape)])
        return f"{self.name}: {str(self.dtype).removeprefix('torch.')} [{axes}]"


class ExportedStep(NamedTuple):
    """The file and its inputs and outputs."""

    path: Path
    inputs: list[Port]
    outputs: list[Port]


@final
class Step(nn.Module):
    """A policy's step with named tensors; this module is traced."""

    def __init__(self, policy: Policy, keys: list[str]) -> None:
        super().__init__()
        self.policy = policy
        self.keys = keys

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        like = self.policy.initial_state(1)
        state = unflatten(like, {leaf: inputs[f"state.{leaf}"] for leaf in flatten(like)})
        obs = {key: inputs[key] for key in self.keys}
        out = self.policy.step(obs, state, inputs["start"])
        named = {"action": out.actions.mode(), **out.actions.parameters(), "value": out.value}
        named |= {f"next_state.{name}": leaf for name, leaf in flatten(out.state).items()}
        # ONNX allows one name per tensor, but the mode of a Gaussian is its mean, and a core may
        # return a leaf unchanged.
        return {name: tensor.clone() for name, tensor in named.items()}


def export_step(
    policy: Policy,
    observation_space: spaces.Dict,
    path: Path,
    about: Mapping[str, str] | None = None,
) -> ExportedStep:
    """Write one step of ``policy`` with explicit state; the policy itself is not changed.

    The whole memory is written, even if a part of it is ablated now.

    Args:
        policy: on any device.
        observation_space: the space that the policy was built for.
        path: ends in .onnx or .pt2; an existing file is replaced atomically.
        about: further metadata of the file, by name.

    Raises:
        ValueError: another suffix, a missing package, an observation entry with the name of
            another tensor, or a policy that cannot be exported; the message says why.
        RunError: the disk is full or not writable.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} ends in {path.suffix!r}, allowed: {' and '.join(SUFFIXES)}")
    if path.suffix == ".onnx":
        _need_packages()
    own = copy.deepcopy(policy).cpu().eval().requires_grad_(False)
    own.core.silence(None)
    step = Step(own, list(observation_space.spaces))
    with torch.no_grad(), _quiet():
        _need_free_names(own, step.keys)
        inputs = _example(own, observation_space)
        outputs = step(inputs)
        try:
            program = _trace(step, inputs)
            said = {**_metadata(own, outputs), **(about or {})}
            if path.suffix == ".pt2":
                content = _pt2(program, said)
            else:
                content = _onnx(program, inputs, outputs, said)
        except Exception as error:  # torch's exporters raise many kinds, few of them public
            name = type(own.core).__name__
            raise ValueError(f"a policy on {name} cannot be exported: {_reason(error)}") from error
    write_atomically(path, content)
    return ExportedStep(path, _ports(inputs), _ports(outputs))


def _metadata(policy: Policy, outputs: Mapping[str, Tensor]) -> dict[str, str]:
    """Metadata: the memory, what ``action`` means, and how observations are given."""
    return {
        "memrl.version": memrl.__version__,
        "memrl.memory": type(policy.core).__name__,
        "memrl.action": "the mean, not clipped" if "mean" in outputs else _NUMBERED,
        "memrl.observation": "as the environment gives it; normalisation is part of the step",
    }


def _example(policy: Policy, space: spaces.Dict) -> dict[str, Tensor]:
    inputs = {
        key: torch.zeros(EXAMPLE_ROWS, *(part.shape or ()), dtype=tensor_dtype(part))
        for key, part in space.spaces.items()
    }
    inputs["start"] = torch.ones(EXAMPLE_ROWS, dtype=torch.bool)
    state = flatten(policy.initial_state(EXAMPLE_ROWS))
    return inputs | {f"state.{name}": leaf for name, leaf in state.items()}


def _need_packages() -> None:
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"writing .onnx needs {' and '.join(missing)}: {install_command('onnx')} "
            "(.pt2 needs nothing more)"
        )


def _need_free_names(policy: Policy, keys: list[str]) -> None:
    leaves = flatten(policy.initial_state(1))
    own = {*OWN_NAMES, *(f"{when}.{leaf}" for when in ("state", "next_state") for leaf in leaves)}
    for key in keys:
        if key in own:
            raise ValueError(f"the observation {key!r} has the name of another tensor of the step")


def _trace(step: Step, inputs: dict[str, Tensor]) -> ExportedProgram:
    rows = torch.export.Dim("B", min=1)
    shapes = {"inputs": {name: {0: rows} for name in inputs}}
    program = torch.export.export(step, (inputs,), dynamic_shapes=shapes, strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it would put this machine's paths into the file
    return program


def _pt2(program: ExportedProgram, said: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={METADATA: json.dumps(dict(said))})
    return buffer.getvalue()


def _onnx(
    program: ExportedProgram,
    inputs: Iterable[str],
    outputs: Iterable[str],
    said: Mapping[str, str],
) -> bytes:
    written = torch.onnx.export(
        program.run_decompositions({torch.ops.aten.sort.stable: _sort}),
        dynamo=True,
        input_names=[*inputs],
        output_names=[*outputs],
        dynamic_shapes={"inputs": {name: {0: "B"} for name in inputs}},  # names the axis
        verbose=False,
    )
    assert written is not None  # None only from the older exporter
    model = written.model_proto
    for name, value in said.items():
        model.metadata_props.add(key=name, value=value)
    return bytes(model.SerializeToString())


def _sort(x: Tensor, *, stable: bool, dim: int = -1, descending: bool = False) -> Any:
    """ONNX's only sort, TopK, puts the lower index first, so it is always stable."""
    return torch.ops.aten.sort.default(x, dim, descending)


def _reason(error: BaseException) -> str:
    """The innermost error in one sentence; the outer ones only name torch's passes."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error)
    if "data-dependent" in text:
        return "its step branches on tensor values, which tracing cannot record"
    if "Constraints violated" in text:
        return "its step works for one batch size only"
    if "not JSON compliant" in text:
        return "this torch writes no infinities to .pt2 (newer ones do, and .onnx takes them)"
    if "'SymbolicDim'" in text:
        return "this onnxscript cannot index with an unknown batch size (newer ones and .pt2 can)"
    if foreign := re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", text):
        return f"ONNX has no operator for {foreign[1]}; .pt2 needs none"
    return text.strip().partition("\n")[0] or type(error).__name__


def _ports(tensors: dict[str, Tensor]) -> list[Port]:
    return [Port(name, part.dtype, tuple(part.shape[1:])) for name, part in tensors.items()]


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the warnings and logs of torch's exporters: deprecations, skipped optimisations.

    None of them concern the policy or the caller.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
