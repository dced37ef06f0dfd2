"""Zip files in Stable-Baselines3's layout, of JSON and safetensors; reading one runs no code.

``data`` is JSON, ``NAME.safetensors`` holds the tensors of the part NAME, and SB3's two text files
record its version and the machine.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import stable_baselines3
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from stable_baselines3.common.utils import get_system_info

from memrl.checkpoint.atomic import write_atomically
from memrl.checkpoint.tree import Encoder, decode

FORMAT: Final = 1
PathOrStream: TypeAlias = str | Path | io.BufferedIOBase


def write(place: PathOrStream, parts: Mapping[str, Any], *, kind: str) -> None:
    """Write parts, each a tree of tensors and plain values, to a path (atomically) or a stream.

    A path without a suffix gets ``.zip``. ``kind`` is the name of the class that can read it.

    Raises:
        TypeError: a value cannot be stored; the message names its place.
        RunError: the disk is full or not writable; an older file is unchanged.
    """
    trees, buffer = {}, io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, tree in parts.items():
            encoder = Encoder()
            trees[name] = encoder.encode(tree, "")
            if encoder.tensors:
                archive.writestr(f"{name}.safetensors", tensors_to_bytes(encoder.tensors))
        content = {"class": f"memrl.{kind}", "format": FORMAT, "parts": trees}
        archive.writestr("data", json.dumps(content, indent=1, allow_nan=False))
        archive.writestr("_stable_baselines3_version", stable_baselines3.__version__)
        archive.writestr("system_info.txt", get_system_info(print_info=False)[1])
    if isinstance(place, str | Path):
        path = Path(place)
        write_atomically(path if path.suffix else Path(f"{path}.zip"), buffer.getvalue())
    else:
        place.write(buffer.getvalue())


def read(place: PathOrStream, *, kind: str) -> dict[str, Any]:
    """The parts of a file.

    Raises:
        FileNotFoundError: there is no such file, with or without ``.zip``.
        ValueError: the file is truncated or damaged, or another class, SB3 or a newer version of
            memrl wrote it.
    """
    name, content = _bytes(place)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            trees = _trees(name, archive, kind)
            return {part: decode(tree, _tensors(archive, part)) for part, tree in trees.items()}
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{name} is not a complete zip file: it is truncated or damaged"
        ) from error
    except (SafetensorError, KeyError, TypeError, EOFError) as error:
        raise ValueError(f"{name} is damaged: {error}") from error


def _bytes(place: PathOrStream) -> tuple[str, bytes]:
    if not isinstance(place, str | Path):
        if place.seekable():
            place.seek(0)  # it may stand at its end, where it was written just now
        return "the stream", place.read()
    path = Path(place)
    found = next((p for p in (path, Path(f"{path}.zip")) if p.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"there is no file {path}" + ("" if path.suffix else "(.zip)"))
    return str(found), found.read_bytes()


def _trees(name: str, archive: zipfile.ZipFile, kind: str) -> dict[str, Any]:
    names = archive.namelist()
    try:
        content = json.loads(archive.read("data")) if "data" in names else {}
        own = isinstance(content, dict) and str(content.get("class", "")).startswith("memrl.")
    except ValueError as error:
        raise ValueError(f"{name} is damaged: its data is not JSON") from error
    if not own:
        if any(entry.endswith(".pth") for entry in names):
            raise ValueError(
                f"{name} was saved by a class of Stable-Baselines3 and contains pickled code, "
                "which memrl does not run: load it with the class that saved it"
            )
        raise ValueError(f"{name} was not saved by {kind}")
    if content["class"] != f"memrl.{kind}":
        raise ValueError(f"{name} holds a {content['class']}, not a memrl.{kind}")
    if content["format"] > FORMAT:
        raise ValueError(
            f"{name} has format {content['format']}, allowed: at most {FORMAT}, the newest that "
            "this version reads; update memrl"
        )
    parts: dict[str, Any] = content["parts"]
    return parts


def _tensors(archive: zipfile.ZipFile, part: str) -> dict[str, Any]:
    entry = f"{part}.safetensors"
    return tensors_from_bytes(archive.read(entry)) if entry in archive.namelist() else {}
