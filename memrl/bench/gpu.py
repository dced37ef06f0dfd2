"""What a GPU makes of environments, collecting, learning and training, beside what it could."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import torch
from torch.utils.flop_counter import FlopCounterMode

from memrl.agents.ppo.agent import PPO
from memrl.agents.ppo.config import PPOConfig
from memrl.bench.device_rates import copy_rate, product_rate, seconds_of
from memrl.bench.env import numbers
from memrl.bench.env_stepping import tensor_player
from memrl.checkpoint.atomic import write_atomically
from memrl.config.models import Count
from memrl.envs.make import make
from memrl.errors import nearest
from memrl.memory import registry
from memrl.pipeline.setup import allow_tf32, find_device
from memrl.plugins import own_error
from memrl.policies.actor_critic import build_policy
from memrl.policies.backbone import PolicyConfig

Mode: TypeAlias = Literal["eager", "compiled", "captured"]
Rows: TypeAlias = dict[str, Any]


class Cell(NamedTuple):
    """One agent that is measured."""

    memory: str
    num: int  # environments
    mode: str

    def __str__(self) -> str:
        return f"{self.memory} {self.num} {self.mode}"


class Sizes(NamedTuple):
    """What all agents have in common."""

    env: str
    steps: int
    hidden_dim: int
    precision: str


def bench_gpu(
    env: str = "MiniGrid-MemoryS17Random-v0",
    memories: str = "gru,lstm,dnc,ntm,sam,gtrxl,lru",
    num: str | int = "4096,16384",
    modes: str = ",".join(get_args(Mode)),
    steps: Count = 64,
    hidden_dim: Count = 128,
    minutes: Count = 8,
    device: str = "cuda",
    precision: Literal["float32", "bf16"] = "float32",
    tf32: bool = False,
    tests: str | None = None,
    file: str = "gpu.json",
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Rows:
    """Measure within some minutes; what was not reached, or failed, is written down as such.

    Args:
        env: a tensor environment.
        memories: separated by commas.
        num: numbers of environments, separated by commas.
        modes: eager; compiled: the memory's update by torch.compile; captured: rollouts and
            minibatches from CUDA graphs.
        steps: T, env steps of a rollout.
        hidden_dim: width of all memories.
        minutes: after which nothing more is begun.
        device: such as cuda, or cpu to try the command.
        precision: of learning.
        tf32: whether products of float32 round their factors to TF32.
        tests: a folder of tests, whose tests of CUDA run first; None: none.
        file: JSON, written after every measurement.
        say: receives a line for each.

    Returns:
        ``device``; ``copy_bytes_per_s`` (read plus written) and ``product_flops_per_s`` by
        precision, as measured; ``tests``; ``environments``: env steps/s by number; ``agents``: by
        memory, number and mode ``collect_steps_per_s``, ``learn_steps_per_s``,
        ``train_steps_per_s``, ``learner_flops_per_s`` of its products, ``learner_of_product`` (the
        same over the device's rate), ``peak_bytes`` of its memory (None on a CPU), or an
        ``error``; ``left``: what time did not allow.

    Raises:
        ValueError: a name is unknown, or there is no such device.
        RunError: the disk is full.
    """
    where, cells = find_device(device), _cells(memories, str(num), modes)
    allow_tf32(tf32)
    until = time.monotonic() + 60 * minutes
    sizes = Sizes(env, steps, hidden_dim, precision)
    rows: Rows = {"device": _name(where), "torch": torch.__version__, **sizes._asdict()}
    rows |= {"tf32": tf32, "environments": {}, "agents": {}, "left": []}
    for name, value in _parts(rows, where, cells, sizes, until, tests):
        write_atomically(Path(file), json.dumps(rows, indent=1).encode())
        say(f"{name}: {value}")
    return rows


def _parts(
    rows: Rows,
    device: torch.device,
    cells: list[Cell],
    sizes: Sizes,
    until: float,
    tests: str | None,
) -> Iterator[tuple[str, str]]:
    """Fill ``rows`` one measurement at a time; yields its name and what came of it."""
    if tests is not None:
        rows["tests"] = _run_tests(tests, until)
        yield "tests", rows["tests"]
    rows["copy_bytes_per_s"] = copy_rate(device)
    yield "copy", f"{rows['copy_bytes_per_s'] / 1e9:,.0f} GB/s"
    rows["product_flops_per_s"] = {kind: product_rate(device, kind) for kind in ("float32", "bf16")}
    yield (
        "product",
        ", ".join(
            f"{kind} {rate / 1e12:,.2f} TFLOP/s"
            for kind, rate in rows["product_flops_per_s"].items()
        ),
    )
    for num in dict.fromkeys(cell.num for cell in cells):
        play = tensor_player(sizes.env, num, device)
        rows["environments"][str(num)] = play() / seconds_of(play, device)
        yield f"{num:,} environments", f"{rows['environments'][str(num)]:,.0f} env steps/s"
    for cell in cells:
        if time.monotonic() > until:
            rows["left"].append(str(cell))
            continue
        torch.manual_seed(0)
        try:
            row = _measure(cell, device, sizes)
            possible = rows["product_flops_per_s"][sizes.precision]
            row["learner_of_product"] = row["learner_flops_per_s"] / possible
        except Exception as error:  # whatever it is, a result: the other cells are measured
            row = {"error": own_error(error)}
        rows["agents"][str(cell)] = row
        speed = row.get("train_steps_per_s", 0)
        yield str(cell), row.get("error") or f"{speed:,.0f} env steps/s of training"
    if rows["left"]:
        yield "left", f"{len(rows['left'])} for want of time"


def _measure(cell: Cell, device: torch.device, sizes: Sizes) -> Rows:
    """Rates of one agent, each the median of three iterations after those that warm up."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    envs = make(sizes.env, cell.num, device, prev_action=True, prev_reward=True)
    options = {"name": cell.memory, "hidden_dim": sizes.hidden_dim}
    policy = build_policy(envs.observation_space, envs.action_space, options, PolicyConfig())
    config = {"epochs": 4, "minibatches": 4, "steps": sizes.steps, "precision": sizes.precision}
    config["bptt"] = sizes.steps
    agent = PPO(envs, policy.to(device), PPOConfig.model_validate(config), seed=0)
    if cell.mode == "compiled":
        if not policy.core.loops:
            raise ValueError(policy.core.nothing_to_compile)
        policy.core.compile_update()
    agent.collect()
    agent.improve(progress=0.0)  # what is compiled is compiled here
    with FlopCounterMode(display=False) as counter:
        agent.improve(progress=0.0)  # directly, since a graph does not show its products
    if cell.mode == "captured":
        agent.capture()
    env_steps = cell.num * sizes.steps
    collect = seconds_of(agent.collect, device)
    learn = seconds_of(lambda: agent.improve(progress=0.0), device)
    return {
        "collect_steps_per_s": env_steps / collect,
        "learn_steps_per_s": env_steps / learn,
        "train_steps_per_s": env_steps / (collect + learn),
        "learner_flops_per_s": counter.get_total_flops() / learn,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def _run_tests(folder: str, until: float) -> str:
    """The last line of pytest about the tests that need CUDA."""
    command = [sys.executable, "-m", "pytest", folder, "-m", "cuda", "-q", "-p", "no:cacheprovider"]
    try:
        left = max(1.0, until - time.monotonic())
        done = subprocess.run(command, capture_output=True, text=True, timeout=left)
    except subprocess.TimeoutExpired:
        return "not finished in time"
    said = (done.stdout + done.stderr).strip().splitlines()
    return said[-1] if said else f"pytest ended with {done.returncode}"


def _cells(memories: str, nums: str, modes: str) -> list[Cell]:
    """What is measured, small batches and eager first.

    Raises:
        ValueError: a memory or a mode is unknown, or a number is none.
    """
    known = get_args(Mode)
    for mode in modes.split(","):
        if mode not in known:
            raise ValueError(
                f"unknown mode {mode!r}{nearest(mode, known)} (known: {', '.join(known)})"
            )
    for memory in memories.split(","):
        registry.core_class(memory)
    return [
        Cell(memory, num, mode)
        for num, mode, memory in product(numbers(nums), modes.split(","), memories.split(","))
    ]


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
