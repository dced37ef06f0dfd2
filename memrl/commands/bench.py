"""memrl bench: speed, side by side with what a user could install instead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from inspect import signature
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from memrl.bench.env import bench_env
from memrl.bench.train import bench_train
from memrl.config import nearest


def measure_environments(ids: Sequence[str], *, as_json: bool) -> None:
    """Env steps per second of environments, by default of the MiniGrid Memory family."""
    results = bench_env(ids) if ids else bench_env()
    if as_json:
        print(json.dumps(results))
        return
    table = Table("environment", "env steps/s", "of the package", "speed-up", box=None)
    for name, row in results.items():
        rates = (f"{row[key]:,.0f}" for key in ("env_steps_per_s", "package_env_steps_per_s"))
        table.add_row(name, *rates, f"{row['speedup']:,.0f} ×")
    Console().print(table)


def measure_training(words: Sequence[str], *, as_json: bool) -> None:
    """Training throughput beside sb3-contrib's recurrent PPO on the same task and network."""
    options: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(words)))
    known = list(signature(bench_train).parameters)
    for option in options:
        if option not in known:
            raise ValueError(
                f"unknown key {option}{nearest(option, known)} (known: {', '.join(known)})"
            )
    result = bench_train(**options)
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:24} {value:,.4g}" if isinstance(value, float) else f"{name:24} {value}")
