"""What the ranks of a training agree on before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from memrl.config.models import Config
from memrl.distributed.collectives import from_rank_0, of_all_ranks, ranks
from memrl.distributed.group import is_started_as_rank
from memrl.errors import RunError
from memrl.evaluation.run_labels import dotted_items
from memrl.run.directory import RunDirectory

# What a rank may have of its own: its place on the machine, and what rank 0 alone reads.
_OWN: Final = frozenset(
    {"device", "threads", "workers", "launcher", "cluster", "run", "track", "evaluate"}
)


def need_data_parallel(config: Config, processes: int) -> None:
    """Raise ValueError if so many processes cannot train an agent of this kind together."""
    if processes > 1 and not config.agent.data_parallel:
        raise ValueError(
            f"workers={processes} with agent={config.agent.kind}: several processes train agents "
            "whose gradients can be averaged (allowed: ppo, r2d2, or workers=1)"
        )


def check_ranks(config: Config) -> None:
    """Check that the ranks, if there are several, can train this config, and all have the same.

    Raises:
        ValueError: the agent cannot be trained so, ranks were given different words, or the
            processes that ``workers`` asks for were not started.
    """
    need_data_parallel(config, max(config.workers, ranks()))
    if config.launcher == "ray" and not is_started_as_rank():
        raise ValueError("launcher=ray is of memrl train alone (allowed here: launcher=local)")
    if config.workers > 1 and ranks() == 1:
        raise ValueError(
            f"workers={config.workers} starts processes on the command line alone, by memrl train; "
            "a script of your own is started by torchrun, and calls "
            "torch.distributed.init_process_group"
        )
    plain = config.model_dump(mode="json", exclude=set(_OWN))
    configs = of_all_ranks(dict(dotted_items(plain)))
    for other, there in enumerate(configs):
        if key := _difference(configs[0], there):
            raise ValueError(
                f"rank {other} has {key}={there.get(key)} where rank 0 has {configs[0].get(key)}: "
                "start all ranks with the same words"
            )


def same_directory(
    opened: RunDirectory | None, *, continued: bool = False
) -> tuple[RunDirectory, bool]:
    """Rank 0's directory, and whether it continues a run there, on every rank.

    Args:
        opened: what rank 0 has opened; None on the others.
        continued: known to rank 0.

    Raises:
        RunError: a rank does not see it.
    """
    directory, continued = from_rank_0((opened, continued))
    seen = of_all_ranks(directory.config.is_file())
    if not all(seen):
        raise RunError(
            f"rank {seen.index(False)} does not see {directory}, where rank 0 writes: let run.dir "
            "or run.root lie on a disk that all ranks share"
        )
    return directory, continued


def _difference(here: Mapping[str, Any], there: Mapping[str, Any]) -> str | None:
    """The first key whose value differs."""
    keys = {**here, **there}
    return next((key for key in keys if here.get(key) != there.get(key)), None)
