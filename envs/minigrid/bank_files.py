"""Level banks on disk: one file per package version, id, seed and size."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from memrl.checkpoint.atomic import write_atomically
from memrl.envs.minigrid.bank import Bank, Spec, draw_bank, package_version
from memrl.envs.minigrid.families import rules_of
from memrl.errors import RunError

_FORMAT: Final = "2"  # version of the file format, part of the file name


def load_bank(id: str, size: int, seed: int) -> tuple[Spec, Bank]:
    """Read the bank of an id from its file, or generate and save it (seconds for 4,096 levels).

    If the file is damaged or holds another bank, the bank is generated again. If it cannot be
    saved, it is generated at every call. Both print a warning to stderr.

    Raises:
        ValueError: an unknown id, an id that the installed package lacks, a size below 1, or a
            negative seed.
    """
    task_rules = rules_of(id)
    if size < 1:
        raise ValueError(f"bank_size is {size}, allowed: at least 1 level")
    if seed < 0:
        raise ValueError(f"bank is {seed}, allowed: a seed of at least 0")
    name = {"id": id, "minigrid": package_version(), "seed": str(seed), "size": str(size)}
    path = cache_folder() / f"{'_'.join(name.values())}_{_FORMAT}.safetensors"
    if path.exists():
        try:
            return _read(path, name)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            _warn(f"the level bank {path} is damaged ({error}); it is generated again")
    spec, bank = draw_bank(id, task_rules, size, seed)
    try:
        write_atomically(path, _content(spec, bank, name))
    except (OSError, RunError) as error:
        _warn(f"{error}; the levels of {id} will be generated again next time")
    return spec, bank


def cache_folder() -> Path:
    """The folder of all banks, in ``MEMRL_CACHE`` or in memrl's folder of the user's cache."""
    own = os.environ.get("MEMRL_CACHE")
    return (Path(own) if own else platformdirs.user_cache_path("memrl")) / "levels"


def _content(spec: Spec, bank: Bank, name: dict[str, str]) -> bytes:
    notes = name | {"spec": json.dumps(spec._asdict()), "digest": _digest(bank)}
    return save(bank._asdict(), notes)


def _read(path: Path, name: dict[str, str]) -> tuple[Spec, Bank]:
    """Read a file.

    Raises:
        ValueError, KeyError, TypeError, SafetensorError: it is damaged or holds another bank.
    """
    with safe_open(path, framework="pt") as file:
        notes = file.metadata() or {}
        bank = Bank(**{leaf: file.get_tensor(leaf).clone() for leaf in file.keys()})
    spec = Spec(**json.loads(notes["spec"]))
    if {key: notes[key] for key in name} != name:
        raise ValueError("it holds another bank")
    if notes["digest"] != _digest(bank):
        raise ValueError("its checksum is wrong")
    return spec, bank


def _digest(bank: Bank) -> str:
    content: Any = hashlib.sha256()
    for leaf in bank:
        content.update(f"{leaf.dtype} {list(leaf.shape)}".encode())
        content.update(leaf.contiguous().numpy().tobytes())
    return str(content.hexdigest())


def _warn(sentence: str) -> None:
    print(f"memrl: {sentence}", file=sys.stderr, flush=True)
