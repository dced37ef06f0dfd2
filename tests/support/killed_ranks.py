"""Runs of two ranks, of which one is killed at a random moment and all are started anew.

torch's own launcher starts them, as torchrun does, but by a fork of this process: what takes
seconds to import is imported once. ``python killed_ranks.py FOLDER RUNS SEED``.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from memrl.cli.app import main

WORDS = ["+run=smoke", "memory=gru", "threads=1", "evaluate.episodes=2", "track=off",
         "run.pictures=false", "run.checkpoint_seconds=0.1", "env.num=8",
         "total_steps=4096"]  # fmt: skip


def rank(folder: Path, words: list[str]) -> None:
    """Be one of the ranks, and say which process it is."""
    (folder / f"pid-{os.environ['RANK']}").write_text(str(os.getpid()))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the launcher's handler
    sys.argv = ["memrl", "train", *words]
    main()


def train(folder: Path, kill: tuple[int, float] | None) -> None:
    """A run in a new directory under ``folder``, whose name only its ranks choose.

    ``kill``: a rank, and the seconds of its life.
    """
    folder.mkdir()
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id=folder.name,
        max_restarts=1,
        monitor_interval=0.1,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        start_method="fork",
    )
    if kill is not None:
        threading.Thread(target=_kill, args=(folder, *kill)).start()
    elastic_launch(config, rank)(folder, [*WORDS, f"run.root={folder / 'runs'}"])


def _kill(folder: Path, victim: int, seconds: float) -> None:
    file = folder / f"pid-{victim}"
    while not file.exists() or not file.read_text():
        time.sleep(0.01)
    time.sleep(seconds)
    try:
        os.kill(int(file.read_text()), signal.SIGKILL)
    except ProcessLookupError:
        return  # the run was quicker
    (folder / "killed").write_text(f"{victim} after {seconds:.3f} s")


if __name__ == "__main__":
    place, runs, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    began = time.monotonic()
    train(place / "whole", None)
    longest = time.monotonic() - began
    for number in range(runs):
        train(place / str(number), (chance.randrange(2), chance.uniform(0, 0.9 * longest)))
