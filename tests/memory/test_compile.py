"""A compiled update is the update: same values, gradients, names, copies and files.

Each comparison is a process of its own, since functions whose shapes are checked while they run
cannot be compiled.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from suites import nightly, slow

from memrl.memory import build, core_class, names
from memrl.memory.core import MemoryCore
from memrl.memory.parts.controlled import ControlledMemory
from memrl.policies.backbone import Stacked

COMPARED = """
import copy, sys, torch
from memrl.memory import build
from memrl.memory.state import leaves, map_state

torch.set_num_threads(1)
torch.manual_seed(0)
T, B, IN = 5, 3, 2
eager = build(sys.argv[1], IN, {"hidden_dim": 7})
core = copy.deepcopy(eager)
core.compile_update()
assert list(core.state_dict()) == list(eager.state_dict())
core = copy.deepcopy(core)  # a copy is compiled, too, and has parameters of its own
with torch.no_grad():
    for mine, other in zip(core.parameters(), eager.parameters(), strict=True):
        other += 0.1 * torch.randn_like(other)
core.load_state_dict(eager.state_dict())

x, start = torch.randn(T, B, IN), torch.zeros(T, B, dtype=torch.bool)
start[-1, 1] = True  # not earlier: usage of a young memory is tied but for rounding
state = map_state(lambda leaf: leaf.detach() + 0.05 * torch.rand_like(leaf),
                  eager(x, eager.initial_state(B), start).state)
learned, acted = [], []
for each in (core, eager):
    out = each(x, state, start)
    loss = out.y.square().sum() + (0 if out.cost is None else out.cost.sum())
    gradients = torch.autograd.grad(loss, list(each.parameters()), allow_unused=True)
    learned.append((out.y, leaves(out.state), gradients))
    with torch.no_grad():
        y, after = each.step(x[0], state, start[-1])
    acted.append((y, leaves(after)))
torch.testing.assert_close(*learned, rtol=1e-4, atol=1e-5)
torch.testing.assert_close(*acted, rtol=1e-4, atol=1e-5)
print("equal", torch._dynamo.utils.counters["frames"]["ok"] > 0)
"""


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=600,
    )


LOOPING = [name for name in names() if build(name, 3).loops]


@pytest.mark.parametrize(
    "name",
    [slow(name) if name in ("dnc", "rmc") else nightly(name) for name in LOOPING],
)
def test_compiled_equals_eager(name):
    done = run(COMPARED, name)
    assert done.stdout == "equal True\n", done.stderr


def test_a_core_without_a_loop_has_nothing_to_compile():
    with pytest.raises(ValueError, match="LSTM computes a sequence without a loop"):
        build("lstm", 3).compile_update()
    with pytest.raises(ValueError, match="nothing to compile"):
        Stacked([build("lstm", 3)]).compile_update()


def test_every_layer_of_a_stack_is_compiled():
    stack = Stacked([build("entnet", 3), build("entnet", build("entnet", 3).out_dim)])
    stack.compile_update()
    assert all(core.compiled for core in stack.cores)


def test_a_core_says_truly_whether_it_loops():
    for name in names():
        own = core_class(name).forward not in (MemoryCore.forward, ControlledMemory.forward)
        assert build(name, 3).loops == (not own or name in ("rmc", "entnet", "memnn"))


@pytest.mark.slow
def test_a_compiled_run_ends_and_resumes(tmp_path):
    """In a process of its own, as the comparisons are."""
    script = "import sys; from memrl.cli.main import main; sys.argv[0] = 'memrl'; main()"
    folder = str(tmp_path / "run")
    shared = ["train", "threads=1", "evaluate.episodes=4"]
    begun = run(
        script,
        *shared[:1],
        "+run=smoke",
        *shared[1:],
        "memory=entnet",
        "compile=true",
        "total_steps=512",
        f"run.dir={folder}",
    )
    assert begun.returncode == 0, begun.stderr
    resumed = run(script, "train", "--resume", folder, "total_steps=768")
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.slow
def test_a_missing_compiler_is_one_sentence():
    script = "from memrl.memory import build; build('ntm', 3).compile_update()"
    done = run(script, PATH="/nowhere", CXX="no-such-compiler")
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: compiling needs a C++ compiler, and no-such-compiler")
