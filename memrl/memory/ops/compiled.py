"""``torch.compile`` for functions that cores share."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from functools import cache
from typing import ParamSpec, TypeVar, cast

import torch

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The compiled version of a function; every call returns the same one.

    It compiles at its first call, and again at the first call with another batch size. Each takes
    half a minute on a CPU for a core's update. Modules are arguments of the function and are not
    modified.
    """
    return cast(Callable[P, R], _compiled(function))


@cache
def _compiled(function: object) -> object:
    return torch.compile(function)  # type: ignore[call-overload]


def need_compiler() -> None:
    """Check that this machine has the C++ compiler that ``torch.compile`` calls.

    Raises:
        ValueError: it has none.
    """
    from torch._inductor import config  # takes a second to import

    # These warnings concern torch's own code; users cannot act on them.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\._inductor")
    names = [name for name in config.cpp.cxx if name]
    if not any(shutil.which(name) for name in names):
        raise ValueError(
            f"compiling needs a C++ compiler, and {' or '.join(names)} is not found "
            "(install one, or name it in CXX)"
        )
