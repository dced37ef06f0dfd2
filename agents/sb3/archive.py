"""A zip in Stable-Baselines3's layout that holds JSON and safetensors; reading it runs no code.

``data`` is JSON, ``NAME.safetensors`` the tensors of the part NAME, and the two text files of SB3
say which version and machine wrote it.
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
Place: TypeAlias = str | Path | io.BufferedIOBase


def write(place: Place, parts: Mapping[str, Any], *, kind: str) -> None:
    """Write parts, each a tree of tensors and plain values, to a path (atomically) or a stream.

    A path without an ending gets ``.zip``. ``kind`` is the class that can read it.

    Raises:
        TypeError: a value that cannot be stored; the message says where.
        RunError: the disk is full or not writable; an older file is as it was.
    """
    described, buffer = {}, io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, tree in parts.items():
            encoder = Encoder()
            described[name] = encoder.encode(tree, "")
            if encoder.tensors:
                archive.writestr(f"{name}.safetensors", tensors_to_bytes(encoder.tensors))
        content = {"class": f"memrl.{kind}", "format": FORMAT, "parts": described}
        archive.writestr("data", json.dumps(content, indent=1, allow_nan=False))
        archive.writestr("_stable_baselines3_version", stable_baselines3.__version__)
        archive.writestr("system_info.txt", get_system_info(print_info=False)[1])
    if isinstance(place, str | Path):
        path = Path(place)
        write_atomically(path if path.suffix else Path(f"{path}.zip"), buffer.getvalue())
    else:
        place.write(buffer.getvalue())


def read(place: Place, *, kind: str) -> dict[str, Any]:
    """The parts of a file.

    Raises:
        FileNotFoundError: there is no such file, with or without ``.zip``.
        ValueError: truncated, damaged, of SB3's own classes, of another class or a newer version.
    """
    name, content = _bytes(place)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            described = _described(name, archive, kind)
            return {part: decode(tree, _tensors(archive, part)) for part, tree in described.items()}
    except zipfile.BadZipFile as error:
        raise ValueError(f"{name} is no whole zip file: it is truncated or damaged") from error
    except (SafetensorError, KeyError, TypeError, EOFError) as error:
        raise ValueError(f"{name} is damaged: {error}") from error


def _bytes(place: Place) -> tuple[str, bytes]:
    if not isinstance(place, str | Path):
        return "the stream", place.read()
    path = Path(place)
    found = next((p for p in (path, Path(f"{path}.zip")) if p.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"there is no file {path}" + ("" if path.suffix else "(.zip)"))
    return str(found), found.read_bytes()


def _described(name: str, archive: zipfile.ZipFile, kind: str) -> dict[str, Any]:
    names = archive.namelist()
    try:
        content = json.loads(archive.read("data")) if "data" in names else {}
        own = isinstance(content, dict) and str(content.get("class", "")).startswith("memrl.")
    except ValueError as error:
        raise ValueError(f"{name} is damaged: its data is no JSON") from error
    if not own:
        if any(entry.endswith(".pth") for entry in names):
            raise ValueError(
                f"{name} was saved by a class of Stable-Baselines3: such files hold pickled code, "
                "which is not run; load it with the class that saved it"
            )
        raise ValueError(f"{name} was not saved by {kind}")
    if content["class"] != f"memrl.{kind}":
        raise ValueError(f"{name} holds a {content['class']}, not a memrl.{kind}")
    if content["format"] > FORMAT:
        raise ValueError(
            f"{name} has format {content['format']}, this version of memrl reads up to {FORMAT}: "
            "update memrl"
        )
    parts: dict[str, Any] = content["parts"]
    return parts


def _tensors(archive: zipfile.ZipFile, part: str) -> dict[str, Any]:
    entry = f"{part}.safetensors"
    return tensors_from_bytes(archive.read(entry)) if entry in archive.namelist() else {}
