"""memrl bench: speed, side by side with what a user could install instead."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Final, TypeAlias, TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

from memrl.bench.bandit import bench_bandit
from memrl.bench.cartpole import bench_cartpole
from memrl.bench.cores import bench_cores
from memrl.bench.dnc import bench_dnc
from memrl.bench.env import IDS, OTHERS, bench_env
from memrl.bench.gpu import bench_gpu
from memrl.bench.nec import bench_nec
from memrl.bench.nec_dqn import MARKS, bench_nec_dqn
from memrl.bench.parity import bench_parity
from memrl.bench.ranks import bench_ranks
from memrl.bench.sam import PAPER, bench_sam
from memrl.bench.sb3 import bench_sb3
from memrl.bench.store import bench_store
from memrl.bench.train import bench_train
from memrl.cli.arguments import call
from memrl.envs.providers import provider_of
from memrl.errors import install_command

T = TypeVar("T")
Row: TypeAlias = Mapping[str, Any]
Cells: TypeAlias = Iterator[str]
_WIDE: Final = 110  # characters of a table with long cells


def measure_environments(words: Sequence[str], *, as_json: bool) -> None:
    """Env steps per second of tensor environments, by default one of every kind."""

    def cells(name: str, row: Row) -> Cells:
        rates = (*row["env_steps_per_s"].values(), *(row[f"{o}_env_steps_per_s"] for o in OTHERS))
        yield from (name, *("–" if rate is None else f"{rate:,.0f}" for rate in rates))

    ids = [word for word in words if "=" not in word] or IDS
    options = [word for word in words if "=" in word]
    results = {id: call(bench_env, options, id=id) for id in _shown(ids)}
    sizes = next(iter(results.values()))["env_steps_per_s"]
    heads = ("env steps/s", *(f"{size:,} environments" for size in sizes), "package", "EnvPool")
    _print(results, heads, cells, as_json=as_json)
    for line in () if as_json else unmeasured(results):
        print(line)


def measure_ranks(words: Sequence[str], *, as_json: bool) -> None:
    """Env steps per second of several processes beside one."""
    row = call(bench_ranks, words)
    if as_json:
        print(json.dumps(row))
        return
    print(
        f"{row['ranks']} processes  {row['ranks_env_steps_per_s']:,.0f} env steps/s, "
        f"{row['ratio']:.2f} × the {row['env_steps_per_s']:,.0f} of one; "
        f"{row['waiting']:.1%} of the time they wait and exchange gradients\n"
        f"one in a group of its own  {row['grouped_env_steps_per_s']:,.0f} env steps/s, "
        f"{-row['overhead']:+.1%}"
    )


def unmeasured(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why the columns of others hold a –, a line each."""
    lines = []
    for other in OTHERS:
        missing = [id for id, row in results.items() if row[f"{other}_env_steps_per_s"] is None]
        if other == "envpool" and missing and find_spec("envpool") is None:
            lines.append(f"EnvPool is not installed ({install_command('envpool')})")
        elif other == "envpool" and missing:
            lines.append("EnvPool lacks the tasks that have a –")
        elif foreign := sorted({p.install for id in missing if (p := provider_of(id))}):
            lines.append(f"a package is not installed ({', '.join(foreign)}) or lacks the task")
        elif missing:
            lines.append("what is memrl's own, as probes are, has no package")
    return lines


def measure_training(words: Sequence[str], *, as_json: bool) -> None:
    """Training throughput beside sb3-contrib's recurrent PPO on the same task and network."""
    result = call(bench_train, words)
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:24} {value:,.4g}" if isinstance(value, float) else f"{name:24} {value}")


def measure_sb3(words: Sequence[str], *, as_json: bool) -> None:
    """MemoryPPO's speed and storage beside RecurrentPPO's."""

    def cells(name: str, row: Row) -> Cells:
        yield from (name, f"{row['env_steps_per_s']:,.0f}", f"{row['minibatch_ms']:.3g}")
        yield from (f"{row['rollout_bytes'] / 1e6:.3g}", f"{row['ratio']:.3g} ×")

    heads = ("learner", "env steps/s", "ms a minibatch", "MB a rollout", "speed-up")
    _print(call(bench_sb3, words), heads, cells, as_json=as_json)


def measure_cartpole(words: Sequence[str], *, as_json: bool) -> None:
    """What MemoryPPO and RecurrentPPO learn on CartPole without velocities."""

    def cells(name: str, row: Row) -> Cells:
        known = row["low"] is not None
        interval = f"{row['low']:.1f} … {row['high']:.1f}" if known else "one seed"
        yield from (name, f"{row['mean']:.1f}", interval, f"{row['seconds']:,.0f}")

    heads = ("learner", "return", "95 % interval", "seconds")
    _print(call(bench_cartpole, words, say=_to_stderr()), heads, cells, as_json=as_json)


def measure_bandit(words: Sequence[str], *, as_json: bool) -> None:
    """The regret of a run on bandits beside that of other players."""

    def cells(name: str, row: Row) -> Cells:
        yield from (name, f"{row['regret']:.2f}", f"{row['low']:.2f} … {row['high']:.2f}")
        yield from (f"{row['earned']:.1f}", f"{row['last_best']:.3f}")

    heads = ("player", "regret", "95 % interval", "earned", "last pull best")
    _print(call(bench_bandit, words), heads, cells, as_json=as_json)


def measure_parity(words: Sequence[str], *, as_json: bool) -> None:
    """What MemoryPPO and its peers learn with equal options."""

    def cells(name: str, row: Row) -> Cells:
        yield from (row["task"], row["memory"], _reached(row["ours"]))
        yield from (row["peer"], _reached(row["theirs"]), "behind" if row["behind"] else "")

    heads = ("task", "memory", "return", "peer", "its return", "")
    rows = call(bench_parity, words, say=_to_stderr())
    _print(rows, heads, cells, as_json=as_json, width=_WIDE)


def _reached(side: Mapping[str, Any]) -> str:
    return f"{_interval(side)} [{side['seeds']}]" if side["seeds"] else "no run"


def _interval(side: Mapping[str, Any]) -> str:
    known = "" if side["low"] is None else f" ({side['low']:.3g} … {side['high']:.3g})"
    return f"{side['mean']:.3g}{known}"


def measure_cores(words: Sequence[str], *, as_json: bool) -> None:
    """Every memory's speed beside the LSTM's."""

    def cells(name: str, row: Row) -> Cells:
        yield name
        for verb in ("learn", "act"):
            yield from (f"{row[f'{verb}_steps_per_s']:,.0f}", f"{row[f'{verb}_ratio']:.2f}")
        yield from (f"{row['parameters']:,}", f"{row['state_bytes']:,} B")
        yield "compiled" if row["compiled"] else ""

    heads = ("memory", "learning", "/ lstm", "acting", "/ lstm", "parameters", "state", "")
    rows = call(bench_cores, words, show=_shown)
    _print(rows, heads, cells, as_json=as_json, title="env steps/s")


def measure_dnc(words: Sequence[str], *, as_json: bool) -> None:
    """The DNC's speed beside the package's."""

    def cells(name: str, row: Row) -> Cells:
        yield from (name, f"{row['ms']:,.1f}", f"{row['forward_ms']:,.1f}")
        yield f"{row['speedup']:.2f} ×"

    heads = ("dnc", "ms", "forward", "speed-up")
    _print(call(bench_dnc, words, show=_shown), heads, cells, as_json=as_json)


def measure_nec(words: Sequence[str], *, as_json: bool) -> None:
    """Look-ups of a batch in one of NEC's dictionaries: one by one, at once, by indexes."""

    def cells(name: str, row: Row) -> Cells:
        yield from (name, f"{1e3 * row['seconds']:,.1f}", f"{row['ratio']:.1f} ×")
        yield f"{row['recall']:.3f}"
        yield f"{row['build_seconds']:.2f}" if "build_seconds" in row else "–"

    heads = ("look-up", "ms", "speed-up", "recall", "seconds to build")
    _print(call(bench_nec, words), heads, cells, as_json=as_json)


def measure_store(words: Sequence[str], *, as_json: bool) -> None:
    """Look-ups of a batch in a dictionary that ranks share, beside one process."""

    def cells(name: str, row: Row) -> Cells:
        yield from (name, f"{1e3 * row['seconds']:,.1f}")
        yield from (f"{row[f'{key}_bytes'] / 1e6:,.1f}" for key in ("received", "stored"))
        yield f"{100 * row['equal']:g} %"

    heads = ("ranks", "ms a batch", "MB received", "MB stored", "equal neighbours")
    _print(call(bench_store, words), heads, cells, as_json=as_json)


def measure_nec_dqn(words: Sequence[str], *, as_json: bool) -> None:
    """What NEC and DQN earn after few env steps."""

    def cells(name: str, row: Row) -> Cells:
        yield from (name, str(row["seeds"]), *(_interval(row[str(mark)]) for mark in MARKS))

    heads = ("return after", "seeds", *(f"{mark:,}" for mark in MARKS))
    rows = call(bench_nec_dqn, words, say=_to_stderr())
    _print(rows, heads, cells, as_json=as_json, width=_WIDE)


def measure_gpu(words: Sequence[str], *, as_json: bool) -> None:
    """Rates of a GPU by memory, number of environments and mode."""
    say = Console(stderr=True, highlight=False).print
    rows = call(bench_gpu, words, say=say)
    if as_json:
        print(json.dumps(rows))
        return
    heads = ("collect", "learn", "train", "of the product's rate")
    table = Table("env steps/s on " + rows["device"], *heads, box=None)
    for name, row in rows["agents"].items():
        if "error" in row:
            table.add_row(name, row["error"])
            continue
        speeds = (row[f"{verb}_steps_per_s"] for verb in ("collect", "learn", "train"))
        table.add_row(name, *(f"{v:,.0f}" for v in speeds), f"{row['learner_of_product']:.2f}")
    for name in rows["left"]:
        table.add_row(name, "not reached")
    Console().print(table)


def measure_sam(words: Sequence[str], *, as_json: bool) -> None:
    """Time and memory of learning with SAM beside a dense memory, by the number of slots."""
    rows = call(bench_sam, words)
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("memory", "slots", "T", box=None)
    for heading in ("seconds", "overhead MB", "kB a step", "time", "overhead", "build s"):
        table.add_column(heading, justify="right")
    for row in rows.values():
        cells = [row["memory"], f"{row['slots']:,}", str(row["steps"])]
        if row["seconds"] is None:
            table.add_row(*cells, "too large")
            continue
        cells += [f"{row['seconds']:.3f}", f"{row['overhead_bytes'] / 1e6:,.1f}"]
        cells += [f"{row['per_step_bytes'] / 1e3:,.1f}" if "per_step_bytes" in row else ""]
        about = "≈ " if row.get("extrapolated") else ""
        for ratio in ("time_ratio", "memory_ratio"):
            cells += [f"{about}÷ {row[ratio]:,.0f}" if ratio in row else ""]
        cells += [f"{row['build_seconds']:.1f}" if "build_seconds" in row else ""]
        table.add_row(*cells)
    console = Console(soft_wrap=True, highlight=False, width=100)  # of the table
    console.print(table)
    console.print(
        f"÷: times less than the dense memory; ≈: which was measured at fewer slots. {PAPER}."
    )


def _print(
    rows: Mapping[str, Row],
    heads: Sequence[str],
    cells: Callable[[str, Row], Cells],
    *,
    as_json: bool,
    title: str | None = None,
    width: int | None = None,
) -> None:
    """One JSON value, or a table with a line of ``cells`` for each row.

    ``width`` of the table in characters; as wide as the terminal by default.
    """
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(*heads, box=None, title=title)
    for name, row in rows.items():
        table.add_row(*cells(name, row))
    wide = width is not None
    Console(width=width, soft_wrap=wide, highlight=not wide).print(table)


def _to_stderr() -> Callable[[str], None]:
    """Prints lines that are longer than the terminal whole."""
    return partial(Console(stderr=True, highlight=False).print, soft_wrap=True)


def _shown(turns: Sequence[T]) -> Iterable[T]:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    return track(turns, "measuring", console=console, disable=not console.is_terminal)
