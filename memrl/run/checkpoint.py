"""One checkpoint file: nested dicts of tensors and plain values, equal bit for bit when read back.

The file is a safetensors file. Tensors lie in it under their dotted path; everything else is JSON
in its header. Reading it runs no code from the file. A checksum covers both parts.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from memrl.run.directory import write_atomically
from memrl.run.errors import CheckpointError

FORMAT: Final = 1
_HEADER_LIMIT: Final = 100_000_000  # bytes; safetensors' own limit


class Header(NamedTuple):
    """What can be known about a checkpoint without reading its tensors."""

    env_steps: int
    score: float | None  # success (or return) when it was saved; None when no episode had ended
    fingerprint: dict[str, Any]  # the configuration that the state belongs to
    state: Any  # the encoded tree, with names where tensors stand
    checksum: int


def save(
    path: Path,
    state: Mapping[str, Any],
    *,
    env_steps: int,
    score: float | None = None,
    fingerprint: Mapping[str, Any] | None = None,
) -> None:
    """Write ``state`` atomically.

    Args:
        path: the file; an older one is replaced only when all of the new one is on disk.
        state: nested dicts (keys str or int), lists and tuples of tensors (any dtype, device and
            shape) and int, float, str, bool, None. Tuples come back as lists.
        env_steps: single-environment transitions experienced so far.
        score: success (or return) at this moment.
        fingerprint: what a configuration must share to read this checkpoint.

    Raises:
        TypeError: the state holds a value that cannot be stored; the message says where.
        RunError: the disk is full or not writable.
    """
    encoder = _Encoder()
    content = {
        "env_steps": env_steps,
        "score": encoder.encode(score, "score"),
        "fingerprint": encoder.encode(fingerprint or {}, "fingerprint"),
        "state": encoder.encode(state, ""),
    }
    text = json.dumps(content, allow_nan=False)
    checksum = _checksum(text, encoder.tensors)
    metadata = {"memrl": text, "format": str(FORMAT), "checksum": str(checksum)}
    write_atomically(path, tensors_to_bytes(encoder.tensors, metadata))


def load(path: Path, *, fingerprint: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read the state of a checkpoint; tensors arrive on the CPU.

    Args:
        path: the file.
        fingerprint: of the present configuration; None skips the comparison.

    Raises:
        CheckpointError: missing, truncated, damaged, no checkpoint, from a newer version, or of
            another configuration (the differing keys are named).
    """
    header = read_header(path)
    if fingerprint is not None:
        _check_fingerprint(path, header.fingerprint, fingerprint)
    try:
        tensors = tensors_from_bytes(path.read_bytes())
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {error}") from error
    text = _metadata(path)["memrl"]
    if _checksum(text, tensors) != header.checksum:
        raise CheckpointError(f"checkpoint {path} is damaged: its checksum does not match")
    state: dict[str, Any] = _decode(header.state, tensors)
    return state


def read_header(path: Path) -> Header:
    """Read what ``Header`` holds, and check that the file is whole in length.

    Raises:
        CheckpointError: as in ``load``, except for what only the tensors' bytes can show.
    """
    metadata = _metadata(path)
    if int(metadata["format"]) > FORMAT:
        raise CheckpointError(
            f"checkpoint {path} has format {metadata['format']}, this version of memrl reads up to "
            f"{FORMAT}: update memrl",
            another=True,
        )
    try:
        content = json.loads(metadata["memrl"])
        return Header(
            env_steps=content["env_steps"],
            score=_decode(content["score"], {}),
            fingerprint=_decode(content["fingerprint"], {}),
            state=content["state"],
            checksum=int(metadata["checksum"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {error!r} in its header") from error


def _metadata(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            raw = file.read(min(length, _HEADER_LIMIT))
    except OSError as error:
        raise CheckpointError(f"no checkpoint at {path}: {error.strerror}") from error
    if size >= 8 and (length > _HEADER_LIMIT or raw[:1] not in (b"{", b"")):
        raise CheckpointError(f"{path} is not a checkpoint")
    if size < 8 or len(raw) < length:
        whole = f" of {8 + length}" if size >= 8 else ""
        raise CheckpointError(f"checkpoint {path} is truncated: {size} bytes{whole} are there")
    try:
        header = json.loads(raw)
        metadata: dict[str, str] = header.pop("__metadata__")
        end = max([entry["data_offsets"][1] for entry in header.values()], default=0)
        if not {"memrl", "format", "checksum"} <= metadata.keys():
            raise KeyError("memrl")
        int(metadata["format"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path} is not a checkpoint, or its header is damaged") from error
    if size < 8 + length + end:
        raise CheckpointError(
            f"checkpoint {path} is truncated: {size} bytes of {8 + length + end} are there"
        )
    return metadata


def differences(saved: Any, present: Any, key: str = "") -> list[str]:
    """Keys whose values differ, as ``"key (saved there, present here)"``."""
    if isinstance(saved, Mapping) and isinstance(present, Mapping):
        return [
            line
            for name in sorted({*saved, *present}, key=str)
            for line in differences(
                saved.get(name), present.get(name), f"{key}.{name}" if key else str(name)
            )
        ]
    same = saved == present or (saved != saved and present != present)  # NaN is itself here
    return [] if same else [f"{key} ({saved!r} there, {present!r} here)"]


def _check_fingerprint(path: Path, saved: Any, present: Mapping[str, Any]) -> None:
    # Through the same encoding, so that tuples and lists compare equal.
    differing = differences(saved, _decode(_Encoder().encode(present, "fingerprint"), {}))
    if differing:
        raise CheckpointError(
            f"checkpoint {path} belongs to another configuration: {', '.join(differing)}",
            another=True,
        )


class _Encoder:
    """Splits a tree into JSON and named tensors; a tensor that stands twice is stored once."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[tuple[Any, ...], str] = {}

    def encode(self, value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value, path)
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
            f"a checkpoint cannot hold a {type(value).__name__} (at {path}): "
            "tensors, int, float, str, bool, None, dicts and lists are allowed"
        )

    def _mapping(self, value: Mapping[Any, Any], path: str) -> Any:
        for key in value:
            if type(key) not in (str, int):
                raise TypeError(f"a checkpoint's keys are str or int, not {key!r} (at {path})")
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
        name = self._free(path or "tensor")
        self.tensors[name] = plain.to("cpu").clone(memory_format=torch.contiguous_format)
        self._names[place] = name
        return {tag: name}

    def _free(self, name: str) -> str:
        free, copy = name, 2
        while free in self.tensors or free == "__metadata__":
            free, copy = f"{name}#{copy}", copy + 1
        return free


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$complex" in value:
        return torch.view_as_complex(tensors[value["$complex"]])
    if "$float" in value:
        return float(value["$float"])
    if "$dict" in value:
        return {key: _decode(item, tensors) for key, item in value["$dict"]}
    return {key: _decode(item, tensors) for key, item in value.items()}


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    total = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), total)
        if tensor.numel():
            total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, total)
    return total
