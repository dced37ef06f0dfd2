"""Functions made faster by ``torch.compile``: where it is possible, and once for all cores."""

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
    """The compiled twin of a function, the same one at every call.

    It is translated when it is first called: half a minute on a CPU for a core's update, once for
    the first size of the batch and once for all others. What it is given decides its results, so
    that modules keep their parameters, names and copies.
    """
    return cast(Callable[P, R], _twin(function))


@cache
def _twin(function: object) -> object:
    return torch.compile(function)  # type: ignore[call-overload]


def need_compiler() -> None:
    """Check that what ``torch.compile`` calls is on this machine.

    Raises:
        ValueError: there is no C++ compiler.
    """
    from torch._inductor import config  # takes a second to import

    # What it says about its own functions is nothing that its users can change.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\._inductor")
    names = [name for name in config.cpp.cxx if name]
    if not any(shutil.which(name) for name in names):
        raise ValueError(
            f"compiling needs a C++ compiler, and {' or '.join(names)} is not found "
            "(install one, or name it in CXX)"
        )
