"""memrl tune: draw values for keys of ``memrl train``, and stop the worse trials early."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT
from typing import Annotated, Final

from annotated_types import Ge, Gt

from memrl.checkpoint.atomic import write_atomically
from memrl.cli.arguments import parse
from memrl.cli.output import config_lines, listener
from memrl.cli.tune_report import conclude
from memrl.cluster.connection import connected, need_ray
from memrl.cluster.search import run_search
from memrl.cluster.trial import Search
from memrl.config.composition import compose
from memrl.config.models import Config, Count, LaxPath
from memrl.config.search_space import Space, split_space
from memrl.errors import RunError
from memrl.options import Strict
from memrl.pipeline.build import check_env
from memrl.pipeline.directories import path_name
from memrl.plugins import NAMED, plugin_words
from memrl.run.machine import usable_cores

_SEARCH: Final = "search.json"  # what is searched for; the same command goes on with it
_TAKEN: Final = ("run.dir", "run.root", "threads", "workers", "launcher")


class Options(Strict):
    """Keys of ``memrl tune``; all other words are those of ``memrl train``."""

    trials: Annotated[int, Ge(1)] = 16
    root: LaxPath | None = None  # folder of the runs; tune/TASK-MEMORY
    grace: Count | None = None  # env steps that no trial is stopped before; a ninth of total_steps
    reduction: Annotated[int, Ge(2)] = 3  # of so many trials, one goes on
    cpus: Annotated[int, Ge(1)] = 1  # of each trial, which are its threads
    gpus: Annotated[float, Gt(0)] | None = None  # of each trial; 1 with device=cuda
    cluster: str | None = None  # auto, or HOST:PORT; this machine alone


def start_search(words: Sequence[str], *, as_json: bool) -> None:
    """Run the trials of a search that are left, then print them and the best one's command.

    Raises:
        ValueError: a key or a value that is not allowed, nothing to vary, or Ray is missing.
        RunError: no cluster answers, the folder holds another search, or no trial was finished.
        Interrupted: Ctrl-C, or SIGTERM; the same command goes on.
    """
    own, rest = split_words(words)
    options = parse(Options, own)
    space, say = split_space(rest), listener(as_json=as_json)
    config = _checked(space)
    need_ray("ray.tune")
    search = _search(options, space, config)
    _claim(search)
    for line in config_lines(config):
        say(line)
    say(f"{search.trials} trials in {search.root}")
    with connected(options.cluster) as stop:
        trials = run_search(search, say)
    again = shlex.join(["memrl", "tune", *plugin_words(), *words])
    conclude(search, trials, again, signum=stop.signum or SIGINT, as_json=as_json)


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options of this command, and the words of ``memrl train``."""
    own = [word for word in words if word.partition("=")[0] in Options.model_fields]
    rest = [word for word in words if word not in own]
    for word in rest:
        if word in ("-m", "--multirun") or word.partition("=")[0] == "hydra/sweeper":
            raise ValueError(f"memrl tune takes no {word}: it draws by itself, trials=N times")
        if word.partition("=")[0] in _TAKEN:
            raise ValueError(f"memrl tune takes no {word}: root= and cpus= choose it")
    return own, rest


def _checked(space: Space) -> Config:
    """The config of the first values; every end and choice was composed.

    Raises:
        ValueError: one of them is refused.
    """
    config, *_ = [compose(words) for words in space.corners()]
    check_env(config.env)
    return config


def _search(options: Options, space: Space, config: Config) -> Search:
    grace = options.grace or max(1, config.total_steps // 9)
    if grace > config.total_steps:
        raise ValueError(f"grace={grace} is beyond total_steps={config.total_steps}")
    if options.cpus > usable_cores() and options.cluster is None:
        raise ValueError(f"cpus={options.cpus}: this machine has {usable_cores()}")
    on_gpu = config.device.startswith("cuda")
    root = options.root or Path("tune") / path_name(f"{config.subject}-{config.learner_name}")
    return Search(
        space=space,
        root=root.absolute(),
        trials=options.trials,
        total_steps=config.total_steps,
        grace=grace,
        reduction=options.reduction,
        seed=config.seed,
        cpus=options.cpus,
        gpus=options.gpus or float(on_gpu),
        plugins=tuple(NAMED),
    )


def _claim(search: Search) -> None:
    """Write what is searched for, unless that is there already.

    Raises:
        RunError: the folder holds something else.
    """
    path = search.root / _SEARCH
    wanted = {
        "words": search.space.fixed,
        "drawn": {key: list(axis) for key, axis in search.space.axes.items()},
        **{key: getattr(search, key) for key in ("trials", "grace", "reduction")},
    }
    plain = json.loads(json.dumps(wanted))
    if path.exists():
        try:
            found = dict(json.loads(path.read_text()))
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}") from None
        if changed := [key for key in plain if found.get(key) != plain[key]]:
            raise RunError(
                f"root={search.root} holds another search, with {changed[0]}="
                f"{found.get(changed[0])}: choose another root"
            )
        return
    if search.root.exists() and any(search.root.iterdir()):
        raise RunError(f"root={search.root} holds other files: choose another root")
    search.root.mkdir(parents=True, exist_ok=True)
    write_atomically(path, f"{json.dumps(plain, indent=1)}\n".encode())
