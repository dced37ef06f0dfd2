"""``launcher=ray``: the ranks of a training as the workers of Ray Train."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from signal import SIGINT
from tempfile import TemporaryDirectory
from typing import Any, Final, final

import torch.distributed as dist

from memrl.checkpoint.atomic import write_atomically
from memrl.cluster.connection import connected
from memrl.config.models import Config, check
from memrl.distributed.collectives import rank
from memrl.errors import EnvError, Interrupted, RankLost, RunError, shortened
from memrl.pipeline.directories import make_directory, name_of
from memrl.pipeline.loading import import_plugins
from memrl.pipeline.training import TrainJob, train_job
from memrl.plugins import NAMED
from memrl.run.directory import RunDirectory
from memrl.run.reporter import Saved

RECORDS: Final = ".ray"  # Ray's storage, beside the runs
_POLL: Final = 0.5  # seconds
_RETRIES: Final = 2  # of all ranks, when one of them is lost


def train_on_cluster(config: Config, run: RunDirectory | None = None) -> RunDirectory:
    """Train ``config.workers`` ranks on a cluster of Ray.

    When a rank is lost, all go on from the last checkpoint.

    Args:
        config: of the run; ``cluster`` is the cluster, None for this machine as one.
        run: one that is continued; a new one by default.

    Raises:
        RunError: no cluster answers, or training failed again and again.
        Interrupted: Ctrl-C, or SIGTERM.
    """
    from ray import train

    with connected(config.cluster) as stop:
        path = run.path if run else config.run.dir
        path = path or make_directory(config.run.root, name_of(config))
        run = RunDirectory(path.absolute())
        records = run.path.parent / RECORDS
        told: dict[str, Any] = {
            "config": config.model_dump(mode="json"),
            "run": str(run),
            "plugins": [*NAMED],
            "log": str(records / run.path.name / "rank-0.log"),
            "fault": str(records / run.path.name / "fault.txt"),
        }
        log, fault = Path(told["log"]), Path(told["fault"])
        fault.unlink(missing_ok=True)
        try:
            with printed(log):
                _trainer(config, told, run.path.name, records).fit()
        except KeyboardInterrupt:
            said = f"stopped; continue with: {run.resume_command()}"
            raise Interrupted(said, stop.signum or SIGINT) from None
        except train.TrainingFailedError as error:
            raise _cause(error) from None
    if fault.exists():
        raise RunError(fault.read_text())
    return run


def _trainer(config: Config, told: dict[str, Any], name: str, records: Path) -> Any:
    from ray import train
    from ray.train.torch import TorchTrainer

    return TorchTrainer(
        train_as_rank,
        train_loop_config=told,
        scaling_config=train.ScalingConfig(
            num_workers=config.workers,
            use_gpu=config.device.startswith("cuda"),
            resources_per_worker={"CPU": config.threads or 1},
        ),
        run_config=train.RunConfig(
            name=name,
            storage_path=str(records),
            failure_config=train.FailureConfig(max_failures=_RETRIES),
            checkpoint_config=train.CheckpointConfig(num_to_keep=2),
            logging_config=train.LoggingConfig(log_level="ERROR"),
        ),
    )


def train_as_rank(told: dict[str, Any]) -> None:
    """One rank; in a directory that holds its run already, as after a loss, it goes on.

    A mistake of the words, and a training that diverges, is written down for the command, and the
    rank ends: what is raised, Ray tries again.
    """
    logging.disable(logging.WARNING)  # Ray Train prints every report with all its metrics
    fault = Path(told["fault"])
    try:
        _train(told)
    except RankLost:
        if not fault.exists():
            raise
    except EnvError:
        raise
    except (ValueError, RunError) as error:
        write_atomically(fault, " ".join(str(error).split()).encode())
        dist.destroy_process_group()  # others wait for this rank no longer


def _train(told: dict[str, Any]) -> None:
    import_plugins(told["plugins"])
    config, run = check(told["config"], Config), RunDirectory(told["run"])
    target = run if run.config.exists() else run.path
    with open(told["log"] if rank() == 0 else os.devnull, "a", buffering=1) as log:
        with redirect_stdout(log), redirect_stderr(log):
            train_job(TrainJob(config), target, style="lines", reporter=RayReporter(run))


@contextmanager
def printed(log: Path) -> Iterator[None]:
    """Print the lines that are added to a file, which is made here."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    ended = threading.Event()
    with log.open() as file:
        file.seek(0, os.SEEK_END)

        def follow() -> None:
            while True:
                last = ended.wait(_POLL)
                sys.stderr.write(file.read())
                sys.stderr.flush()
                if last:
                    return

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()


@final
class RayReporter:
    """Hands each checkpoint to Ray Train, as a run directory that ``memrl evaluate`` opens."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run

    def is_due(self, before: int, now: int) -> bool:
        return False

    def saved(self, checkpoint: Saved) -> None:
        from ray import train

        known = {name: value for name, value in checkpoint.row.items() if not math.isnan(value)}
        with TemporaryDirectory() as folder:
            stored = None
            if rank() == 0:
                copy_run(self._run, checkpoint.path, Path(folder))
                stored = train.Checkpoint.from_directory(folder)
            train.report(known, checkpoint=stored)  # every rank waits here for the others


def copy_run(run: RunDirectory, checkpoint: Path, folder: Path) -> None:
    """Copy a run with one of its checkpoints, of all ranks."""
    copy = RunDirectory(folder)
    copy.checkpoints.mkdir()
    for file in (run.config, run.plugins):
        if file.exists():
            shutil.copy(file, folder)
    for file in checkpoint.parent.glob(f"{checkpoint.stem}*"):
        shutil.copy(file, copy.checkpoints)


def _cause(error: Any) -> RunError:
    """What went wrong on the first rank that says more than that another one was lost."""
    failures = getattr(error, "worker_failures", {}).values()
    causes = [getattr(failure, "cause", None) or failure for failure in failures]
    said = [cause for cause in causes if not isinstance(cause, RankLost)]
    first = (said or causes or [error])[0]
    return RunError(f"training failed {_RETRIES + 1} times: {shortened(first)}")
