"""Converts nested values to JSON and named tensors, and back, bit for bit, without code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Encoder:
    """Splits a tree into JSON and named tensors; a tensor that occurs twice is stored once.

    A tree is nested dicts (keys str or int), lists and tuples of tensors (any dtype, device and
    shape), arrays of numbers, and int, float, str, bool, None, numpy's scalars included. Tuples
    come back as lists, numpy's scalars as Python's, tensors on the CPU.

    Attributes:
        tensors: the encoded tensors so far, by dotted path.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[tuple[Any, ...], str] = {}

    def encode(self, value: Any, path: str) -> Any:
        """A tree as JSON, with names in place of tensors; ``path`` is the tree's own path.

        Raises:
            TypeError: a value cannot be stored; the message names its place.
        """
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            whole = torch.from_numpy(np.ascontiguousarray(value)).reshape(value.shape)
            return {"$array": self._tensor(whole, path)["$tensor"]}
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"$float": str(float(value))}
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
            return [self.encode(item, _join(path, i)) for i, item in enumerate(value)]
        raise TypeError(
            f"a checkpoint cannot hold a {type(value).__name__} (at {path}), allowed: tensors, "
            "arrays of numbers, int, float, str, bool, None, dicts and lists"
        )

    def _mapping(self, value: Mapping[Any, Any], path: str) -> Any:
        for key in value:
            if type(key) not in (str, int):
                raise TypeError(
                    f"a checkpoint has the key {key!r} (at {path}), allowed: keys are str or int"
                )
        items = [(key, self.encode(item, _join(path, key))) for key, item in value.items()]
        plain = all(isinstance(key, str) and not key.startswith("$") for key, _ in items)
        return dict(items) if plain else {"$dict": [list(item) for item in items]}

    def _tensor(self, value: Tensor, path: str) -> dict[str, str]:
        if value.layout is not torch.strided or value.is_meta:
            raise TypeError(f"a checkpoint cannot hold a {value.layout} tensor (at {path})")
        tag = "$complex" if value.is_complex() else "$tensor"
        place = (
            *(value.device, value.dtype, value.untyped_storage().data_ptr()),
            *(value.storage_offset(), value.shape, value.stride(), value.is_conj(), value.is_neg()),
        )
        if value.numel() and place in self._names:
            return {tag: self._names[place]}
        plain = value.detach().resolve_conj().resolve_neg()
        plain = torch.view_as_real(plain) if plain.is_complex() else plain
        name = self._unused_name(path or "tensor")
        self.tensors[name] = plain.to("cpu").clone(memory_format=torch.contiguous_format)
        self._names[place] = name
        return {tag: name}

    def _unused_name(self, name: str) -> str:
        unused, number = name, 2
        while unused in self.tensors or unused == "__metadata__":
            unused, number = f"{name}#{number}", number + 1
        return unused


def decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that `Encoder.encode` was given.

    Raises:
        KeyError: a tensor that the tree names is missing.
    """
    if isinstance(value, list):
        return [decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$array" in value:
        return tensors[value["$array"]].numpy()
    if "$complex" in value:
        return torch.view_as_complex(tensors[value["$complex"]])
    if "$float" in value:
        return float(value["$float"])
    if "$dict" in value:
        return {key: decode(item, tensors) for key, item in value["$dict"]}
    return {key: decode(item, tensors) for key, item in value.items()}


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
