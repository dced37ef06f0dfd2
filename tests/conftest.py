"""Every test starts from the same random state and on one thread: sums do not depend on cores."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
import torch
from hypothesis import settings

# How long an example takes says nothing on a machine that is shared.
settings.register_profile("memrl", deadline=None)
settings.load_profile("memrl")

# Children of a test (the command line, a killed training) inherit these.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_MODE"] = "offline"
os.environ["MPLBACKEND"] = "agg"
# Kernels are compiled for seconds each, so tests use their reference. Only their own tests do not:
# the fast suite interprets kernels, the slow one compiles them.
os.environ.setdefault("MEMRL_KERNELS", "0")
torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    if "not slow" in config.option.markexpr:
        os.environ["NUMBA_DISABLE_JIT"] = "1"  # read when numba is imported


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests keep on disk is theirs; their children inherit the place."""
    os.environ["MEMRL_CACHE"] = str(tmp_path_factory.mktemp("cache"))
