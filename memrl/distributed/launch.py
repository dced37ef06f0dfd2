"""Start the ranks of a training on this machine, pass signals on, and say why they ended.

torch's own launcher (torchrun) starts them as well. This one differs where a person meets it. A
signal lets every rank finish its iteration and save, however long that takes; a second one does
not. A failure is one sentence, not a table with a traceback for each rank.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from memrl.distributed.sentence import SENTENCE
from memrl.errors import RanksFailed

_HOST: Final = "127.0.0.1"
_POLL: Final = 0.05  # seconds
LAUNCHER: Final = "MEMRL_LAUNCHER"  # the environment variable by which a rank knows this process
_OF_TORCHRUN: Final = "TORCHELASTIC_RUN_ID"  # torchrun gives it to the processes it starts
PATIENCE: Final = 60.0  # seconds that other ranks have after a failure before they are ended


def launch(words: Sequence[str], ranks: int) -> None:
    """Run ``memrl WORDS`` in several processes on this machine, and wait for them.

    Raises:
        RanksFailed: one failed or was stopped; the sentence is that of the first rank that has one.
    """
    import torch.distributed as dist

    # The ranks meet here, so that no other program can take the port meanwhile.
    store = dist.TCPStore(  # type: ignore[attr-defined]
        _HOST, 0, is_master=True, wait_for_workers=False
    )
    shared = {
        "MASTER_ADDR": _HOST,
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        LAUNCHER: str(os.getpid()),
    }
    if sys.platform == "linux":
        shared["GLOO_SOCKET_IFNAME"] = "lo"
    with TemporaryDirectory() as folder, _signals_passed_on() as processes:
        files = [Path(folder) / str(rank) for rank in range(ranks)]
        for rank, file in enumerate(files):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), SENTENCE: str(file)}
            processes.append(_start(words, {**os.environ, **shared, **own}))
        _wait(processes)
        codes = [process.returncode for process in processes]
        if any(codes):
            raise _failure(codes, files)


def launcher_of_this_process() -> int | None:
    """The process that started this rank, or this run of a benchmark; None if there is none.

    torchrun does not name itself, so ask while it can be thought to live. Else the answer is
    given once: what this process starts has another parent.
    """
    if (named := os.environ.pop(LAUNCHER, None)) is not None:
        return int(named)
    return os.getppid() if _OF_TORCHRUN in os.environ else None


def _start(words: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "memrl", *words]
    # In a session of its own: Ctrl-C reaches it once, from here, and not from the terminal as well.
    return subprocess.Popen(command, env=environment, start_new_session=True)


@contextmanager
def _signals_passed_on() -> Iterator[list[subprocess.Popen[bytes]]]:
    """A list of processes that get the signals to stop; at the end none of them is left."""
    processes: list[subprocess.Popen[bytes]] = []

    def pass_on(signum: int, frame: Any) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signum)

    before = {s: signal.signal(s, pass_on) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until all have ended; after a failure the others have `PATIENCE` to notice it."""
    failed_at = None
    while any(process.poll() is None for process in processes):
        time.sleep(_POLL)
        codes = [process.poll() for process in processes]
        if any(code not in (None, 0, *_STOPPED) for code in codes):
            failed_at = failed_at or time.monotonic()
            if time.monotonic() - failed_at > PATIENCE:
                return


_STOPPED: Final = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # a rank saved, and was then stopped


def _failure(codes: Sequence[int], files: Sequence[Path]) -> RanksFailed:
    """The sentence of the first rank that has one of its own."""
    said = {r: json.loads(file.read_text()) for r, file in enumerate(files) if file.exists()}
    for each in said.values():
        if not each["lost"]:
            return RanksFailed(each["sentence"], each["code"])
    for rank, code in enumerate(codes):
        if code < 0:
            name = signal.Signals(-code).name
            return RanksFailed(
                f"rank {rank} was ended by {name}, and the others with it", 128 - code
            )
    rank = next(r for r, code in enumerate(codes) if code)
    return RanksFailed(f"rank {rank} ended with exit code {codes[rank]}", codes[rank])
