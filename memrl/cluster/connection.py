"""A connection to Ray, and one sentence where there is none."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from memrl.errors import RunError, install_command
from memrl.run.machine import usable_cores
from memrl.run.signals import StopRequest

HEAD_SECONDS: Final = 30.0  # in which the head node of a cluster must answer
_OBJECT_STORE: Final = 128 * 2**20  # bytes: runs exchange a few numbers
_SETTINGS: Final = {  # of Ray, in the environment
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # modules and paths are looked for where the command runs
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # runs write their own files
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # what a worker prints is printed once
    "RAY_AIR_NEW_OUTPUT": "0",  # the other output cannot be silenced
    "RAY_USAGE_STATS_ENABLED": "0",  # nobody is told how Ray is used
}
_QUIET: Final[dict[str, Any]] = {"log_to_driver": False, "logging_level": "ERROR"}


def need_ray(part: str) -> None:
    """Import a part of Ray, such as ``ray.tune``, with what it needs itself.

    Raises:
        ValueError: Ray, or what that part needs, is not installed.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        importlib.import_module(part)
    except ImportError as error:
        missing = (error.name or "ray").partition(".")[0]
        raise ValueError(
            f"{part} needs {missing}, which is not installed: {install_command('ray')}"
        ) from None


@contextmanager
def connected(address: str | None) -> Iterator[StopRequest]:
    """Be connected to Ray; what was started for it ends with the context.

    Ray stops well at Ctrl-C alone, so SIGTERM acts as one; it is told apart by what is yielded.

    Args:
        address: ``auto`` for the cluster that this machine is a node of, or ``HOST:PORT`` of its
            head; None for a cluster of this machine alone, which is started.

    Raises:
        RunError: there is no such cluster, or its head does not answer.
    """
    import ray

    if address is None:
        ray.init(
            address="local",
            num_cpus=usable_cores(),
            object_store_memory=_OBJECT_STORE,
            include_dashboard=False,
            **_QUIET,
        )
    else:
        _need_answer(address)
        ray.init(address=address, **_QUIET)
    request = StopRequest()

    def interrupt(signum: int, frame: object) -> None:
        request.signum = signum
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
        ray.shutdown()


def _need_answer(address: str) -> None:
    """Try to connect in another process: in this one, Ray tries for minutes, and aborts it."""
    script = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
    try:
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, timeout=HEAD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode != 0:
        within = f"within {HEAD_SECONDS:.0f} s" if done is None else "here"
        raise RunError(
            f"cluster={address}: no cluster answers {within}; `ray start --head` begins one, "
            "without cluster= this machine is one"
        )
