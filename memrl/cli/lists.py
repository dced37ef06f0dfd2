"""memrl memories, envs, tasks, plugins and config: what can be chosen."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import torch
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from memrl.agents.registry import AGENTS
from memrl.bonus import BONUSES
from memrl.cli.output import NO_BREAK, table
from memrl.config.composition import compose
from memrl.config.models import Config
from memrl.envs.make import envs, options
from memrl.envs.options import REQUIRED
from memrl.memory import registry
from memrl.memory.kernels.choice import torch_only
from memrl.memory.state import nbytes
from memrl.nn.encoder import ENCODERS
from memrl.options import what_is_read
from memrl.pipeline.build import check_env
from memrl.policies.backbone import PolicyConfig
from memrl.registry import Registry
from memrl.supervised.config import compose_fit
from memrl.tasks import REGISTRY

_WHOLE_LINES: Final = 1000  # columns


def list_memories(*, as_json: bool) -> None:
    """One row a memory: its numbers are those of ``memory=<name>`` behind a default encoder."""
    menu = registry.REGISTRY
    rows = list(described_words(menu, menu.words(), describe))
    if as_json:
        print(json.dumps(rows))
        return
    whole, broken = split_broken(rows)
    numbers = ("state", "parameters", "flop per step")
    cells = [
        [
            row["name"],
            row["paper"],
            f"{row['state_bytes'] / 1024:,.1f}{NO_BREAK}KiB",
            *(f"{row[key]:,}" for key in ("parameters", "flop_per_step")),
            row["origin"].replace(" ", NO_BREAK),
        ]
        for row in whole
    ]
    print(table(["memory", "paper", *numbers, "origin"], cells, right=numbers))
    print_hints("memory", "train", "config", broken)


def described_words(
    menu: Registry[Any], words: Sequence[str], describe: Callable[[str], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What is known of words on a menu; of one that cannot be built here, why not."""
    for word in words:
        known: dict[str, Any] = {"name": word, "origin": menu.origin(word)}
        try:
            known |= describe(word)
        except ValueError as error:  # a package is missing, or a plug-in is mistaken
            known["error"] = str(error)
        yield known


def split_broken(rows: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of what can be chosen, and a sentence for each of the others."""
    whole = [row for row in rows if "error" not in row]
    return whole, [f"{row['name']}: {row['error']}" for row in rows if "error" in row]


def print_hints(key: str, command: str, config: str, broken: Sequence[str]) -> None:
    """What stands below a list: what cannot be chosen, and how to choose the others."""
    print("\n".join(["", *broken]))
    print(f"memrl {command} {key}=NAME; the options of one: memrl {config} {key}=NAME")
    print(f"one of your own: memrl {command} {key}=MODULE:CLASS")


def describe(name: str) -> dict[str, Any]:
    """What a memory is, weighs and costs.

    Bytes of one environment's state, parameters of the core, and floating-point operations of the
    products in one step of one environment, forward (learning takes about three times as many).
    """
    core = registry.build(name, PolicyConfig().encoder_dim, {})
    state, x = core.initial_state(1), torch.zeros(1, core.in_dim)
    with torch.no_grad(), torch_only(), FlopCounterMode(display=False) as counter:
        core.step(x, state, torch.zeros(1, dtype=torch.bool))
    return {
        "name": name,
        "class": type(core).__name__,
        "paper": core.paper,
        "state_bytes": nbytes(state),
        "parameters": sum(weight.numel() for weight in core.parameters()),
        "flop_per_step": counter.get_total_flops(),
        "horizon": core.horizon,
        "file": f"{type(core).__module__.replace('.', '/')}.py",
    }


def list_envs(words: Sequence[str], *, as_json: bool) -> None:
    """One row an environment whose id holds all ``words``; MiniGrid's are listed, being installed.

    Raises:
        ValueError: no id holds them.
    """
    importlib.import_module("minigrid")
    rows = [row for row in envs() if all(word.lower() in row["id"].lower() for word in words)]
    if not rows:
        raise ValueError(f"no environment has {' and '.join(words)} in its id")
    if as_json:
        print(json.dumps(rows))
        return
    headings = ["environment", "kind", "memory", "memoryless · guess · optimum", "observation"]
    cells = [
        [
            row["id"],
            row["kind"],
            row["memory"] or "",
            _levels(row["levels"]),
            row["observation"],
        ]
        for row in rows
    ]
    # A file or a pipe gets whole lines.
    print(table(headings, cells, width=None if sys.stdout.isatty() else _WHOLE_LINES))
    print("\nmemrl train env=ID, memrl play ID; any other id of Gymnasium works too, by an adapter")


def _levels(levels: dict[str, Any] | None) -> str:
    """``success 0.5 · 0.5 · 1``, with – for what is not known, and the time alone if it is."""
    if levels is None:
        return ""
    values = (levels[name] for name in ("memoryless", "guess", "optimum"))
    told = " · ".join("–" if value is None else f"{value:.3g}" for value in values)
    timed = "" if levels["timed"] is None else f" (time alone {levels['timed']:.3g})"
    return f"{levels['score']} {told}{timed}"


def list_tasks(*, as_json: bool) -> None:
    """One row a task, with the defaults of its config."""
    rows = list(described_words(REGISTRY, REGISTRY.words(), describe_task))
    if as_json:
        print(json.dumps(rows))
        return
    whole, broken = split_broken(rows)
    cells = []
    for row in whole:
        if row["needs"]:
            given = " ".join(f"task.{key}=…" for key in row["needs"])
            facts = [given, row["kind"], "", ""]
        else:
            facts = [str(row["in_dim"]), f"{row['out_dim']} {row['kind']}", row["lengths"]]
            facts.append(f"{row['chance']:.0%}")
        cells.append([row["name"], row["paper"], *facts, row["origin"].replace(" ", NO_BREAK)])
    print(table(["task", "paper", "in", "out", "lengths", "chance", "origin"], cells))
    print_hints("task", "fit", "config --fit", broken)


def describe_task(name: str) -> dict[str, Any]:
    """What a task hears, is asked, and how often guessing is right."""
    cls = REGISTRY.find(name)
    needs = [
        key for key, field in REGISTRY.schema(name).model_fields.items() if field.is_required()
    ]
    row: dict[str, Any] = {"name": name, "paper": cls.paper, "kind": cls.kind, "needs": needs}
    if needs:  # what it hears and asks is in the files of its user
        return {**row, "in_dim": None, "out_dim": None, "chance": None, "lengths": None}
    task = REGISTRY.build(name)
    facts = {key: getattr(task, key) for key in ("in_dim", "out_dim", "chance")}
    return {**row, **facts, "lengths": f"{task.min_length}–{task.max_length}"}


def list_plugins(*, as_json: bool) -> None:
    """One row for each class that an installed package offers, on any menu."""
    menus: tuple[Registry[Any], ...] = (registry.REGISTRY, REGISTRY, ENCODERS, BONUSES, AGENTS)
    rows = [
        {"key": menu.key, **row}
        for menu in menus
        for row in described_words(menu, menu.foreign(), partial(options_of_word, menu))
    ]
    if as_json:
        print(json.dumps(rows))
        return
    whole, broken = split_broken(rows)
    cells = [
        [f"{row['key']}={row['name']}", ", ".join(row["options"]), row["origin"]] for row in whole
    ]
    if rows:
        print("\n".join([table(["choose it by", "options", "origin"], cells), *broken]))
    else:
        print("no installed package offers a memory, task, encoder, bonus or agent")
    print("\none of your own: MODULE:CLASS in place of a name; memrl check MODULE:CLASS checks it")


def options_of_word(menu: Registry[Any], word: str) -> dict[str, Any]:
    """The names of a class's options."""
    return {"options": [*menu.schema(word).model_fields]}


def show_config(overrides: Sequence[str], *, fit: bool) -> None:
    """The composed config as YAML, without keys that nothing reads beside the others."""
    if fit:
        print(OmegaConf.to_yaml(what_is_read(compose_fit(overrides))), end="")
        return
    config = compose(overrides)
    check_env(config.env)
    print(OmegaConf.to_yaml(what_is_read(config)), end="")
    if further := further_options(config):
        print(f"# options of {config.env.id} that no file holds, with their defaults: {further}")


def further_options(config: Config) -> str:
    """``env.cues=4 env.delay=3``: the options of an environment that its config does not hold."""
    task, held = config.env, config.env.model_dump()
    left = {k: v for k, v in options(task.id, family=task.family).items() if k not in held}
    known = {k: json.dumps(v, default=str) for k, v in left.items() if v is not REQUIRED}
    words = (f"env.{name}={known.get(name, '…')}".replace('"', "") for name in left)
    return " ".join(words)
