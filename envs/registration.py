"""Registers the tensor environments with Gymnasium as ``memrl/<name>``, single and vector."""

from __future__ import annotations

from typing import Any

import gymnasium

from memrl.envs.adapters.export import TensorEnv, TensorVectorEnv
from memrl.envs.make import TENSOR_FAMILIES, make


def single(name: str, *, render_mode: str | None = None, **options: Any) -> TensorEnv:
    """The entry point of ``gymnasium.make``: the tensor environment ``name``."""
    return TensorEnv(make(name, 1, **options), render_mode=render_mode)


def batched(
    name: str,
    *,
    num_envs: int = 1,
    tensors: bool = False,
    render_mode: str | None = None,
    **options: Any,
) -> TensorVectorEnv:
    """The vector entry point of ``gymnasium.make_vec``; ``options`` are those of `make`."""
    return TensorVectorEnv(
        make(name, num_envs, **options), tensors=tensors, render_mode=render_mode
    )


def exported_id(name: str) -> str:
    """The Gymnasium id of a tensor environment: probe/Recall-v0 becomes memrl/Recall-v0."""
    return f"memrl/{name.rpartition('/')[2]}"


def register() -> None:
    """Register every tensor environment with Gymnasium; repeated calls change nothing."""
    for family in TENSOR_FAMILIES.values():
        for name in family.ids:
            if exported_id(name) not in gymnasium.registry:
                gymnasium.register(
                    exported_id(name),
                    entry_point="memrl.envs.registration:single",
                    vector_entry_point="memrl.envs.registration:batched",
                    kwargs={"name": name},
                )
