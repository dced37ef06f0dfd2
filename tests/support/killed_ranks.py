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

import memrl.cli.train  # noqa: F401  once, and not in every rank
from memrl.cli.main import main
from memrl.config.composition import compose

# A memory without compiled kernels: the run that compiles them differs in the last digits.
WORDS = ["+run=smoke", "memory=framestack", "threads=1", "evaluate.episodes=2", "track=off",
         "run.pictures=false", "run.checkpoint_seconds=0", "env.num=8", "agent.epochs=2",
         "total_steps=2560"]  # fmt: skip
ITERATIONS = 10


def rank(folder: Path, words: list[str]) -> None:
    """Be one of the ranks, and say which process it is."""
    (folder / f"pid-{os.environ['RANK']}").write_text(str(os.getpid()))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the launcher's handler
    sys.argv = ["memrl", "train", *words]
    main()


def train(folder: Path, kill: tuple[int, int, float] | None) -> None:
    """A run in a new directory under ``folder``, whose name only its ranks choose.

    ``kill``: a rank, the rows of metrics that it lives to see, and the seconds that it has then.
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


def _kill(folder: Path, victim: int, rows: int, seconds: float) -> None:
    process = folder / f"pid-{victim}"
    while not (process.exists() and process.read_text() and rows_so_far(folder) >= rows):
        time.sleep(0.002)
    time.sleep(seconds)
    os.kill(int(process.read_text()), signal.SIGKILL)
    (folder / "killed").write_text(f"rank {victim}, {rows} rows and {seconds:.3f} s")


def rows_so_far(folder: Path) -> int:
    """The rows of metrics so far."""
    files = [*folder.glob("runs/*/metrics.csv")]
    return files[0].read_text().count("\n") - 1 if files else 0


if __name__ == "__main__":
    compose(WORDS)
    place, runs, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    train(place / "whole", None)
    for number in range(runs):
        rows, seconds = chance.randrange(ITERATIONS - 2), chance.uniform(0, 0.05)
        train(place / str(number), (chance.randrange(2), rows, seconds))
