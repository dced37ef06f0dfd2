"""memrl: reinforcement-learning agents that remember."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memrl.assemble import load as load
    from memrl.composition import compose as compose
    from memrl.config import Config as Config
    from memrl.envs.make import make as make
    from memrl.experiment import Run as Run
    from memrl.experiment import train as train
    from memrl.memory import MemoryCore as MemoryCore
    from memrl.memory import register as register
    from memrl.testing import check_core as check_core

__version__ = "0.1.0"

# Loaded when first used: `import memrl` and `memrl --help` do not wait for torch.
_HOME = {
    "Config": "memrl.config",
    "MemoryCore": "memrl.memory",
    "Run": "memrl.experiment",
    "check_core": "memrl.testing",
    "compose": "memrl.composition",
    "load": "memrl.assemble",
    "make": "memrl.envs.make",
    "register": "memrl.memory",
    "train": "memrl.experiment",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'memrl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
