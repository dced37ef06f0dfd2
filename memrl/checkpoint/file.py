"""One checkpoint file: nested dicts of tensors and plain values, restored bit for bit.

The file is a safetensors file. Tensors are stored under their dotted path, everything else as JSON
in the header. Reading runs no code from the file. A checksum covers both parts.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from memrl.checkpoint.atomic import write_atomically
from memrl.checkpoint.tree import Encoder, decode
from memrl.errors import CheckpointError

FORMAT: Final = 1
DATA: Final = "data"  # of a fingerprint: digests of the files that were learned from, by path
_HEADER_LIMIT: Final = 100_000_000  # bytes; safetensors' own limit


class Header(NamedTuple):
    """The content of a checkpoint without its tensors."""

    experience: int  # env steps or sequences
    score: float | None  # success (or return) when saved; None if no episode had ended
    fingerprint: dict[str, Any]  # the configuration that the state belongs to
    state: Any  # the encoded tree, with names in place of tensors
    checksum: int
    shares: list[int]  # checksums of the files of ranks 1, 2, …, which belong to this one of rank 0


def save(
    path: Path,
    state: Mapping[str, Any],
    *,
    experience: int,
    score: float | None = None,
    fingerprint: Mapping[str, Any] | None = None,
    shares: Sequence[int] = (),
) -> int:
    """Write ``state`` atomically.

    Args:
        path: the file; an older file is replaced only once the new one is complete on disk.
        state: nested dicts (keys str or int), lists and tuples of tensors (any dtype, device and
            shape) and int, float, str, bool, None. Tuples come back as lists.
        experience: env steps or sequences seen so far.
        score: success, or return if the task has no success.
        fingerprint: the values that a configuration must share to load this checkpoint.
        shares: checksums of the files that belong to this one.

    Returns:
        The checksum.

    Raises:
        TypeError: a value cannot be stored; the message names its place.
        RunError: the disk is full or not writable.
    """
    encoder = Encoder()
    content = {
        "env_steps": experience,  # the name in format 1
        "score": encoder.encode(score, "score"),
        "fingerprint": encoder.encode(fingerprint or {}, "fingerprint"),
        "state": encoder.encode(state, ""),
        **({"shares": list(shares)} if shares else {}),
    }
    text = json.dumps(content, allow_nan=False)
    checksum = _checksum(text, encoder.tensors)
    metadata = {"memrl": text, "format": str(FORMAT), "checksum": str(checksum)}
    write_atomically(path, tensors_to_bytes(encoder.tensors, metadata))
    return checksum


def load(
    path: Path,
    *,
    fingerprint: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Read the state of a checkpoint; tensors are on the CPU.

    Args:
        path: the file.
        fingerprint: of the present configuration; None skips the comparison.
        defaults: of its groups, which count for options that are newer than the file.

    Raises:
        CheckpointError: the file is missing, truncated, damaged, not a checkpoint, from a newer
            version, or of another configuration (the message names the differing keys).
    """
    header = read_header(path)
    if fingerprint is not None:
        _check_fingerprint(path, header.fingerprint, fingerprint, defaults or {})
    try:
        tensors = tensors_from_bytes(path.read_bytes())
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {error}") from error
    text = _metadata(path)["memrl"]
    if _checksum(text, tensors) != header.checksum:
        raise CheckpointError(f"checkpoint {path} is damaged: its checksum does not match")
    state: dict[str, Any] = decode(header.state, tensors)
    return state


def read_header(path: Path) -> Header:
    """Read the header and check the file's length.

    Raises:
        CheckpointError: as in ``load``, except for damaged tensors.
    """
    metadata = _metadata(path)
    if int(metadata["format"]) > FORMAT:
        raise CheckpointError(
            f"checkpoint {path} has format {metadata['format']}, allowed: at most {FORMAT}, the "
            "newest that this version of memrl reads; update memrl",
            another=True,
        )
    try:
        content = json.loads(metadata["memrl"])
        return Header(
            experience=content["env_steps"],
            score=decode(content["score"], {}),
            fingerprint=decode(content["fingerprint"], {}),
            state=content["state"],
            checksum=int(metadata["checksum"]),
            shares=content.get("shares", []),
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
        expected = f" of {8 + length}" if size >= 8 else ""
        raise CheckpointError(f"checkpoint {path} is truncated: it has {size} bytes{expected}")
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
            f"checkpoint {path} is truncated: it has {size} bytes of {8 + length + end}"
        )
    return metadata


def differences(saved: Any, present: Any, key: str = "") -> list[str]:
    """The keys whose values differ, as ``"key (saved there, present here)"``."""
    if isinstance(saved, Mapping) and isinstance(present, Mapping):
        return [
            line
            for name in sorted({*saved, *present}, key=str)
            for line in differences(
                saved.get(name), present.get(name), f"{key}.{name}" if key else str(name)
            )
        ]
    same = saved == present or (saved != saved and present != present)  # NaN equals NaN
    return [] if same else [f"{key} ({saved!r} there, {present!r} here)"]


def completed(saved: Any, defaults: Any, present: Any) -> Any:
    """``saved`` with the defaults of the keys that it lacks and ``present`` has, nested too."""
    if not all(isinstance(value, Mapping) for value in (saved, defaults, present)):
        return saved
    newer = {key: defaults[key] for key in defaults if key in present}
    older = {key: completed(saved[key], defaults.get(key), present.get(key)) for key in saved}
    return {**newer, **older}


def _check_fingerprint(
    path: Path, saved: Any, present: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    # Encoded and decoded like the saved one, so that tuples and lists compare equal.
    here = decode(Encoder().encode(present, "fingerprint"), {})
    there, now = saved.pop(DATA, {}), here.pop(DATA, {})
    saved = {
        group: completed(values, defaults.get(group), here.get(group))
        for group, values in saved.items()
    }
    differing = differences(saved, here)
    if differing:
        raise CheckpointError(
            f"checkpoint {path} belongs to another configuration: {', '.join(differing)}",
            another=True,
        )
    changed = [name for name in {**there, **now} if there.get(name) != now.get(name)]
    if changed:
        raise CheckpointError(
            f"checkpoint {path} has learned from other data: {' and '.join(changed)} "
            f"{'has' if len(changed) == 1 else 'have'} changed since; begin a new run with it",
            another=True,
        )


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    total = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), total)
        if tensor.numel():
            total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, total)
    return total
