"""Who may import whom: the rooms of the library and the direction of dependency."""

from __future__ import annotations

import ast
import functools
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# One file a memory; imported when such a memory first steps.
KERNELS = {
    f"memory.kernels.{name}"
    for name in (
        "by_type",
        "compile",
        "elementary",
        "gru",
        "lstm",
        "notice",
        "ring",
        "steps",
        "threads",
    )
}
LINKED = ("agents", "configs", "envs")

# A room and the rooms right below it; it may import these and everything below them.
BELOW = {
    "errors": (),
    "plugins": ("errors",),
    "options": ("errors",),
    "registry": ("options", "plugins"),
    "distributed": ("errors",),
    "checkpoint": ("distributed", "rollout.tokens"),
    "memory.ops": (),
    "memory.kernels": ("memory.ops",),
    "memory": ("distributed", "memory.kernels", "registry"),
    "tasks": ("registry", "memory"),
    "rollout.env": (),
    "rollout.tokens": (),
    "rollout.masks": ("errors",),
    "rollout.spaces": ("rollout.masks", "rollout.tokens"),
    "nn": ("distributed", "memory.ops", "registry", "rollout.env", "rollout.spaces"),
    "policies": ("memory", "nn", "rollout.spaces", "checkpoint"),
    "replay": ("memory",),
    "bonus": ("nn", "checkpoint"),
    "rollout": ("policies", "bonus"),
    "losses": ("distributed",),
    "run.agent": ("rollout.env",),
    "run.global_generators": (),
    "agents": ("rollout", "replay", "losses", "run.agent", "run.global_generators", "checkpoint"),
    "envs": ("registry", "rollout.env", "rollout.spaces", "checkpoint"),
    "run.lock": ("errors",),
    "run.directory": ("run.lock", "checkpoint"),
    "tracking": ("run.directory",),
    "run": ("run.agent", "run.global_generators", "tracking"),
    "evaluation": ("run",),
    "probing": ("evaluation", "memory"),
    "plots": ("probing",),
    "inspector": ("plots", "bonus"),
    "testing": ("memory",),
    "config": ("agents", "envs", "run"),
    "pipeline": ("config", "inspector"),
    "supervised": ("tasks", "pipeline"),
    "bench": ("pipeline",),
    "benchmark": ("pipeline",),
    "continual": ("pipeline",),
    "cluster": ("pipeline",),
    "cli": ("supervised", "bench", "benchmark", "continual", "cluster", "testing"),
    "__main__": ("cli",),
    "__init__": ("pipeline", "testing"),
    "configs": (),
}


def sources() -> list[tuple[str, Path]]:
    """Dotted module names (without ``memrl.``) and their files."""
    found = []
    for root in ("memrl", *LINKED):
        for path in sorted((ROOT / root).glob("**/*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts[1:] if parts[0] == "memrl" else parts
            if root != "memrl" or parts[0] not in LINKED:
                found.append((".".join(parts), path))
    return found


def room(module: str) -> str:
    """The longest room that a module lies in; ``memrl`` itself is ``__init__``."""
    parts = module.removesuffix(".__init__").split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in BELOW:
            return ".".join(parts[:end])
    return "__init__" if module in ("", "__init__") else f"{module} is in no room"


def reachable(name: str) -> set[str]:
    return {name}.union(*(reachable(below) for below in BELOW[name]))


@functools.cache
def imports(path: Path) -> set[str]:
    """Absolute names that a file imports anywhere, types and function bodies included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


HYDRA_FILES = (
    "config.composer",
    "config.composition",
    "config.quoting",
    "config.nodes",
    "config.env_overrides",
    "config.search_space",
    "cli.sweep",
    "cli.sweep_axes",
)
SB3_FILES = {
    f"agents.sb3.{name}"
    for name in (
        "acting algorithm archive collecting distribution evaluation extractor masking "
        "normalisation persistent plugins policy recurrent_words saving schedules "
        "training_log vec_env"
    ).split()
}


def test_imports_point_downwards():
    upwards = []
    for module, path in sources():
        own = room(module)
        for name in imports(path):
            below = room(name.removeprefix("memrl").removeprefix("."))
            if name.split(".")[0] == "memrl" and below not in {*reachable(own), "__init__"}:
                upwards.append(f"{module} must not import {below}")
    assert upwards == []


def test_every_room_exists():
    assert {room(module) for module, _ in sources()} == set(BELOW)


@pytest.mark.parametrize(
    ("package", "homes"),
    [
        (
            "stable_baselines3",
            {
                *SB3_FILES,
                "envs.adapters.sb3",
                "bench.learner_server",
                "bench.dqn",
                "bench.parity_course",
                "bench.parity_run",
            },
        ),
        ("sb3_contrib", {"bench.learner_server", "bench.parity_run"}),
        ("wandb", {"tracking.wandb"}),
        ("faiss", {"memory.stores.index"}),
        ("ray", {"cluster.connection", "cluster.search", "cluster.trial", "cluster.training"}),
        ("numba", KERNELS),
        (
            "hydra",
            {*HYDRA_FILES},
        ),
        ("typer", {"cli.app", "cli.bench_app"}),
    ],
)
def test_heavy_packages_have_one_home(package, homes):
    users = {
        module
        for module, path in sources()
        if any(name.split(".")[0] == package for name in imports(path))
    }
    assert users <= homes


@pytest.mark.parametrize("module", ["memrl", "memrl.cli.main", "memrl.pipeline", "memrl.envs"])
def test_peers_and_trackers_are_imported_only_when_used(module):
    script = (
        f"import {module}, sys; "
        "print(*{'stable_baselines3', 'sb3_contrib', 'wandb', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize("module", ["memrl", "memrl.cli.main"])
def test_help_does_not_wait_for_torch(module):
    script = f"import {module}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    "package",
    ["memrl", "memrl.agents", "memrl.bonus", "memrl.rollout", "memrl.memory", "memrl.tasks"],
)
def test_public_names_are_listed_and_exist(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


def test_public_names_are_sorted():
    import memrl

    assert sorted(memrl.__all__) == list(memrl.__all__)


@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("memrl.agents", {"Agent", "AgentConfig"}),
        ("memrl.bonus", {"Bonus", "Experience"}),
        ("memrl.memory", {"MemoryCore", "Unrolled", "register"}),
        ("memrl.rollout", {"BatchedEnv", "Obs", "Transition"}),
        ("memrl.tasks", {"Batch", "Task"}),
    ],
)
def test_what_plug_ins_derive_from_is_public(package, names):
    assert names <= set(importlib.import_module(package).__all__)


def test_an_unknown_public_name_is_an_attribute_error():
    import memrl

    with pytest.raises(AttributeError, match="no attribute 'mke'"):
        _ = memrl.mke


def test_nothing_stands_in_the_hall_but_what_everybody_needs():
    hall = {path.stem for path in (ROOT / "memrl").glob("*.py")}
    assert hall == {
        "__init__",
        "__main__",
        "errors",
        "options",
        "plugins",
        "registry",
    }
