"""memrl: reinforcement-learning agents that remember."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memrl.config.composition import compose as compose
    from memrl.config.models import Config as Config
    from memrl.envs.make import make as make
    from memrl.memory import MemoryCore as MemoryCore
    from memrl.memory import register as register
    from memrl.pipeline.trained import Run as Run
    from memrl.pipeline.trained import load as load
    from memrl.pipeline.trained import open_run as open_run
    from memrl.pipeline.training import train as train
    from memrl.testing import check_core as check_core

__version__ = "0.1.0"

# Loaded when first used: `import memrl` and `memrl --help` do not wait for torch.
_HOME = {
    "Config": "memrl.config.models",
    "MemoryCore": "memrl.memory",
    "Run": "memrl.pipeline.trained",
    "check_core": "memrl.testing",
    "compose": "memrl.config.composition",
    "load": "memrl.pipeline.trained",
    "open_run": "memrl.pipeline.trained",
    "make": "memrl.envs.make",
    "register": "memrl.memory",
    "train": "memrl.pipeline.training",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'memrl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
