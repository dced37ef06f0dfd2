"""``init=RUN``: a new run begins with the weights of an earlier one, as far as they fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from memrl.checkpoint.folder import Checkpoints
from memrl.errors import CheckpointError, RunError
from memrl.pipeline.loading import command_of, read_plain
from memrl.policies.columns import as_columns, count_columns, earlier_columns
from memrl.run.directory import RunDirectory

_PARTS: Final = {"encoder": "encoder", "core": "memory"}
_REST: Final = "heads"
_CRITIC: Final = "critic.weight"
_TOLD: Final = 2  # tensors of another shape that are named in a part


class Weights(NamedTuple):
    """The weights of an earlier run, of its last checkpoint."""

    path: Path
    tensors: Mapping[str, Tensor]  # by name: ``encoder.…``, ``core.…``, and those of the heads
    return_norm: Mapping[str, Tensor] | None = None  # standardised what its critic predicts


def weights_of(path: Path) -> Weights:
    """The weights of a run of ``memrl train`` or ``memrl fit``.

    No class of the run is built: it needs no plug-in, and its config no longer has to be valid.

    Raises:
        RunError: there is no such run, it has no network, no checkpoint, or none that is intact.
    """
    run = RunDirectory.open(path)
    plain = read_plain(run)
    run = RunDirectory(path, command=command_of(plain))
    found = Checkpoints(run.checkpoints).last()
    if found is None:
        raise CheckpointError(
            f"init={path} has no checkpoint yet; {run.resume_command()} continues it"
        )
    learner = found.state["agent"]
    tensors = learner.get("policy", learner.get("model"))
    if tensors is None:
        raise RunError(
            f"init={path} was made by agent={plain['agent']['kind']}, whose weights nothing else "
            "takes (allowed: runs of agent=ppo and agent=r2d2, and of memrl fit)"
        )
    return Weights(path, tensors, learner.get("return_norm"))


@torch.no_grad()
def fill(network: nn.Module, weights: Weights, return_norm: nn.Module | None = None) -> str:
    """Copy what has the same name and shape; a line says what was taken of each part.

    Parameters are taken, and buffers, such as the running statistics of an encoder. A network of
    several columns (``policy.columns``) takes all of its earlier ones, and nothing else. If the
    critic is taken, what standardises the returns that it predicts is taken, too, into
    ``return_norm``.

    Raises:
        RunError: nothing fits, not all of an earlier column, or the run has more or fewer columns
            than the network has earlier ones.
    """
    own, there, columns = network.state_dict(), weights.tensors, earlier_columns(network)
    if columns:
        there = as_columns(there)
        _refuse_another_number(weights.path, count_columns(there), count_columns(own) - 1)
    fitting = [name for name in own if name in there and there[name].shape == own[name].shape]
    parts = {
        part: [name for name in own if _part(name) == part] for part in (*_PARTS.values(), _REST)
    }
    told = ", ".join(
        _told(part, names, own, there, fitting) for part, names in parts.items() if names
    )
    if not {*columns} <= {*fitting}:
        raise RunError(f"init={weights.path} lacks an earlier column of policy.columns: {told}")
    if not fitting:
        why = told or "what is to begin with them has none itself"
        raise RunError(f"init={weights.path} has no weights that fit: {why}")
    for name in fitting:
        own[name].copy_(there[name])  # a state dict shares its tensors with the network
    if return_norm is not None and weights.return_norm is not None and _CRITIC in fitting:
        return_norm.load_state_dict(dict(weights.return_norm))
        told += ", statistics of returns"
    return f"init={weights.path}: {told}"


def _refuse_another_number(path: Path, there: int, wanted: int) -> None:
    if there != wanted:
        raise RunError(
            f"init={path} has {there} column{'s' * (there != 1)}, and policy.columns={wanted} "
            f"(allowed: policy.columns={there}, or another run)"
        )


def _part(name: str) -> str:
    return _PARTS.get(name.partition(".")[0], _REST)


def _told(
    part: str,
    names: Sequence[str],
    own: Mapping[str, Tensor],
    there: Mapping[str, Tensor],
    fitting: Iterable[str],
) -> str:
    """``memory 11 of 12 tensors (shapes differ: core.x [3, 5] there, [3, 7] here)``."""
    taken = len({*names}.intersection(fitting))
    other = [
        f"{name} {list(there[name].shape)} there, {list(own[name].shape)} here"
        for name in names
        if name in there and there[name].shape != own[name].shape
    ]
    more = f" and {len(other) - _TOLD} more" if len(other) > _TOLD else ""
    why = f" (shapes differ: {'; '.join(other[:_TOLD])}{more})" if other else ""
    return f"{part} {taken} of {len(names)} tensors{why}"
