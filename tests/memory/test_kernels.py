"""Kernels over rows equal the update in torch: values, states, and every gradient."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from suites import slow_but

from memrl.cli.lists import describe
from memrl.memory import registry
from memrl.memory.kernels import choice, compile
from memrl.memory.kernels.choice import SWITCH
from memrl.memory.state import leaves, map_state

# Distinct primes; what a head, a slot and a word are must not be mistaken for each other.
SIZES = {
    "lstm": {"hidden_dim": 11},
    "gru": {"hidden_dim": 11},
    "dnc": {"slots": 7, "word_dim": 3, "read_heads": 2, "hidden_dim": 11},
    "ntm": {"slots": 7, "word_dim": 3, "read_heads": 2, "write_heads": 2, "hidden_dim": 11},
    "lrua": {"slots": 7, "word_dim": 3, "read_heads": 2, "hidden_dim": 11},
    "graph": {"slots": 7, "word_dim": 3, "read_heads": 2, "rounds": 2, "hidden_dim": 11},
    "sam": {"slots": 13, "word_dim": 3, "read_heads": 2, "neighbours": 5, "hidden_dim": 11},
    "lru": {"state_dim": 7, "hidden_dim": 11},
    "ffm": {"trace_dim": 5, "context_dim": 3, "hidden_dim": 11},
    "deltanet": {"heads": 3, "head_dim": 5, "hidden_dim": 11},
    "mamba": {"inner_dim": 7, "state_dim": 5, "rank": 2, "conv_width": 3, "hidden_dim": 11},
    "entnet": {"slots": 7, "word_dim": 3, "hidden_dim": 11},
    "memnn": {"slots": 7, "word_dim": 3, "hops": 3, "hidden_dim": 11},
    "rmc": {"slots": 3, "heads": 2, "head_dim": 5, "hidden_dim": 11},
}
SIZES["sdnc"] = {**SIZES["sam"], "partners": 7}
CELLS = {"lstm", "gru", "lru", "ffm", "deltanet", "mamba"}  # a sequence alone has a kernel
UNCONTROLLED = {*CELLS, "rmc", "entnet", "memnn"}  # no LSTM controls them
T, B, IN = 17, 5, 2
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-3}


def make(name, dtype, **given):
    torch.manual_seed(3)
    core = registry.build(name, IN, {**SIZES[name], **given}).to(dtype)
    with torch.no_grad():
        for weight in core.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return core


def batch(dtype, steps=T):
    random = torch.Generator().manual_seed(5)
    x = torch.randn(steps, B, IN, generator=random, dtype=dtype)
    start = torch.rand(steps, B, generator=random) < 0.15
    start[0, 0] = True
    return x, start


def floats(state):
    return [leaf for leaf in leaves(state) if leaf.is_floating_point()]


def turned(leaf):
    """The same numbers, with the last axis outermost in memory."""
    return leaf.movedim(-1, 0).contiguous().movedim(0, -1)


def run(core, x, start, state, layout=lambda leaf: leaf):
    """Values and gradients for random gradients of all outputs, which have a layout."""
    state = map_state(lambda leaf: leaf.clone().requires_grad_(leaf.is_floating_point()), state)
    x = x.clone().requires_grad_()
    out = core(x, state, start)
    random = torch.Generator().manual_seed(7)
    ends = [out.y, *floats(out.state)]
    ends = [end for end in ends if end.requires_grad]
    seeds = [layout(torch.randn(end.shape, generator=random, dtype=end.dtype)) for end in ends]
    given = [x, *core.parameters(), *floats(state)]
    grads = torch.autograd.grad(ends, given, seeds, allow_unused=True)
    grads = [torch.zeros_like(g) if d is None else d for g, d in zip(given, grads, strict=True)]
    return [out.y, *leaves(out.state)], grads


@pytest.fixture(autouse=True)
def _kernels(monkeypatch):
    monkeypatch.setenv(SWITCH, "1")


def both(monkeypatch, work):
    """By kernel, then in torch."""
    fast = work()
    monkeypatch.setenv(SWITCH, "0")
    return fast, work()


def compare(monkeypatch, name, dtype, **options):
    core = make(name, dtype, **options)
    x, start = batch(dtype, 9)
    with torch.no_grad():  # a memory that has seen something
        state = core(x, core.initial_state(B), start).state
    x, start = batch(dtype)
    assert name in UNCONTROLLED or core._memory(x).steps
    (values, grads), (true_values, true_grads) = both(
        monkeypatch, lambda: run(core, x, start, state)
    )
    near = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(values, true_values, **near)
    for one, true in zip(grads, true_grads, strict=True):
        scale = true.abs().max().clamp_min(1)
        torch.testing.assert_close(one / scale, true / scale, **near)


@pytest.mark.parametrize("name", SIZES)
def test_a_kernel_equals_the_update_in_values_and_gradients(monkeypatch, name):
    compare(monkeypatch, name, torch.float64)


def test_the_kernel_of_a_gated_deltanet_equals_its_update(monkeypatch):
    compare(monkeypatch, "deltanet", torch.float64, gated=True)


@pytest.mark.parametrize("gate", ["memory", "none"])
def test_a_kernel_serves_every_gate_of_an_rmc(monkeypatch, gate):
    compare(monkeypatch, "rmc", torch.float64, gate=gate)


WRITES = ["append", "oldest", "least_used", "merge"]
RULES = list(product(WRITES, ["soft", "topk", "hard"], ["none", "decay", "importance"]))
# A rule reads an option of its own.
OWN = {"topk": {"topk": 2}, "merge": {"likeness": 0.6}, "decay": {"keep": 0.9}}


@pytest.mark.parametrize(("write", "read", "forget"), slow_but(RULES[::4], RULES))
def test_a_kernel_serves_the_rules_of_a_memnn(monkeypatch, write, read, forget):
    rules = {"write": write, "read": read, "forget": forget}
    for rule in rules.copy().values():
        rules |= OWN.get(rule, {})
    compare(monkeypatch, "memnn", torch.float64, **rules)


@pytest.mark.parametrize("slots", [5, 13])
def test_a_kernel_takes_the_slots_that_a_memnn_got_later(monkeypatch, slots):
    core = make("memnn", torch.float64)
    x, start = batch(torch.float64, 4)

    def work():
        core.resize(SIZES["memnn"]["slots"])
        state = core(x, core.initial_state(B), start).state
        core.resize(slots)
        y, state, _ = core(x.flip(0), core.carry_over(state), torch.zeros_like(start))
        return [y, *leaves(state)]

    fast, true = both(monkeypatch, work)
    torch.testing.assert_close(fast, true, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SIZES)
def test_states_and_gradients_may_have_any_layout(name):
    core = make(name, torch.float64)
    x, start = batch(torch.float64, 3)
    state = map_state(torch.Tensor.detach, core.initial_state(B))
    plain, grads = run(core, x, start, state)
    values, same = run(core, turned(x), start, map_state(turned, state), turned)
    for one, other in zip([*plain, *grads], [*values, *same], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_in_single_precision_a_kernel_is_as_near_as_rounding_allows(monkeypatch, name):
    compare(monkeypatch, name, torch.float32)


@pytest.mark.parametrize("name", [name for name in SIZES if name not in CELLS])
def test_steps_by_a_kernel_equal_steps_in_torch(monkeypatch, name):
    core = make(name, torch.float64)
    x, start = batch(torch.float64)

    @torch.no_grad()
    def act():
        state, seen = core.initial_state(B), []
        for x_t, start_t in zip(x, start, strict=True):
            y, state = core.step(x_t, state, start_t, donate=True)
            seen.append(y)
        return [*seen, *leaves(state)]

    fast, true = both(monkeypatch, act)
    torch.testing.assert_close(fast, true, rtol=1e-9, atol=1e-9)


def test_without_numba_the_reference_serves_and_one_sentence_says_so(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    choice.has_numba.cache_clear()
    choice._say.cache_clear()
    core = make("lrua", torch.float32)
    x, start = batch(torch.float32)
    work = partial(run, core, x, start, core.initial_state(B))
    with pytest.warns(UserWarning, match="numba is not installed") as said:
        [work() for _ in range(2)]
    assert len(said) == 1
    assert "pip install numba" in str(said[0].message)
    choice.has_numba.cache_clear()


@pytest.mark.parametrize(
    ("name", "option", "sentence"),
    [
        ("dnc", {"masking": True}, "a DNC with masking.* has no kernel"),
        ("memnn", {"write": "gated"}, "a MemNN with write=gated has no kernel"),
    ],
)
def test_an_option_without_a_kernel_is_said_once_and_runs(name, option, sentence):
    choice._say.cache_clear()
    core = registry.build(name, IN, {**SIZES[name], **option})
    x, start = batch(torch.float32)
    work = partial(run, core, x, start, core.initial_state(B))
    with pytest.warns(UserWarning, match=sentence) as said:
        [work() for _ in range(2)]
    assert len(said) == 1


def test_without_a_folder_for_the_cache_kernels_are_compiled_all_the_same(monkeypatch):
    def no_locator(*_, cache=False, **__):
        if cache:
            raise RuntimeError("cannot cache function 'double': no locator available")
        return lambda function: function

    compile._say_uncached.cache_clear()
    monkeypatch.setattr(compile.numba, "njit", no_locator)
    with pytest.warns(UserWarning, match="NUMBA_CACHE_DIR"):
        assert compile.row(lambda x: 2 * x)(3) == 6


@pytest.mark.parametrize("rows", [1, 31])
def test_a_row_does_not_depend_on_the_number_of_threads(rows):
    core = make("lrua", torch.float64)
    x = torch.randn(3, rows, IN, dtype=torch.float64)
    start = torch.zeros(3, rows, dtype=torch.bool)
    before = torch.get_num_threads()
    try:
        seen = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            seen.append(core(x, core.initial_state(rows), start).y)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*seen)


@pytest.mark.parametrize("name", SIZES)
def test_a_second_backward_pass_gives_the_same_gradients(name):
    core = make(name, torch.float64)
    x, start = batch(torch.float64, 3)
    loss = core(x, core.initial_state(B), start).y.square().sum()
    parameters = list(core.parameters())
    once = torch.autograd.grad(loss, parameters, retain_graph=True)
    again = torch.autograd.grad(loss, parameters)
    for first, second in zip(once, again, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)


KERNELS_COMPILE = """
import torch
torch.set_num_threads(1)
from memrl.memory import registry
core = registry.build("gru", 2, {"hidden_dim": 5})
x = torch.randn(3, 4, 2)
core(x, core.initial_state(4), torch.zeros(3, 4, dtype=torch.bool)).y.sum().backward()
from memrl.memory.kernels import gru
assert gru.sequence_reverse.signatures, "not compiled"
assert torch.get_num_threads() == 1, "numba's threads changed torch's"
"""


def in_a_new_process(script, **words):
    """What a script that may compile kernels wrote to stderr."""
    words = {**os.environ, "NUMBA_DISABLE_JIT": "0", SWITCH: "1", **words}
    done = subprocess.run([sys.executable, "-c", script], env=words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_kernel_compiles_in_a_new_process_and_leaves_torchs_threads_alone():
    in_a_new_process(KERNELS_COMPILE)


@pytest.mark.slow
def test_that_kernels_are_compiled_is_said_once_on_a_machine(tmp_path):
    first = in_a_new_process(KERNELS_COMPILE, NUMBA_CACHE_DIR=str(tmp_path))
    assert first == "the kernels of gru are being compiled for this machine, once: 3 to 30 s\n"
    assert in_a_new_process(KERNELS_COMPILE, NUMBA_CACHE_DIR=str(tmp_path)) == ""
    names = [file.name for file in tmp_path.rglob("*.nbi")]
    assert names
    # A change of any kernel's file names other files: numba looks at that of the caller alone.
    assert all(compile._room_digest() in name for name in names)


LRU_SAYS = """
import sys
import torch
from memrl.memory import registry
torch.set_num_threads(1)
torch.manual_seed(0)
core = registry.build("lru", 7, {"hidden_dim": 23})
x, start = torch.randn(11, 5, 7), torch.rand(11, 5) < 0.1
print(core(x, core.initial_state(5), start).y.double().sum().item().hex(), file=sys.stderr)
"""


@pytest.mark.slow
def test_the_process_that_compiles_a_kernel_computes_as_later_ones(tmp_path):
    """Numba may have two compiled copies of what a kernel calls, which round in other places."""
    first, second = (
        in_a_new_process(LRU_SAYS, NUMBA_CACHE_DIR=str(tmp_path)).splitlines()[-1] for _ in "ab"
    )
    assert first == second


@pytest.mark.parametrize(("rows", "least"), [(1, 1), (2, 1), (7, 2), (31, 8), (3, 64)])
def test_every_row_is_given_to_one_thread(rows, least):
    from memrl.memory.kernels.threads import divide

    seen, before = [], torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        divide(lambda begin, end, more: seen.extend(range(begin, end)), rows, least, "more")
    finally:
        torch.set_num_threads(before)
    assert sorted(seen) == list(range(rows))


def test_an_error_in_another_thread_is_raised():
    from memrl.memory.kernels.threads import divide

    def kernel(begin, end):
        if begin:
            raise ZeroDivisionError("of the second part")

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError, match="second part"):
            divide(kernel, 4, 1)
    finally:
        torch.set_num_threads(before)


def test_the_rational_tanh_is_within_4e_7_and_keeps_what_is_not_a_number():
    from memrl.memory.kernels.elementary import EDGE, rational_tanh

    near = np.linspace(-12, 12, 20_001, dtype=np.float32)
    tiny = 10.0 ** np.arange(-30, 0, dtype=np.float32)
    for x in (*near, *tiny, EDGE):
        true = np.tanh(np.float64(x))
        assert abs(rational_tanh(x) - true) <= 4e-7 * max(abs(true), 1e-30)
        assert abs(rational_tanh(x)) <= 1
    assert np.isnan(rational_tanh(np.float32("nan")))
    assert rational_tanh(np.float32("-inf")) == rational_tanh(-EDGE)


def test_the_short_exp_is_within_5e_7_of_its_value():
    from memrl.memory.kernels.elementary import short_exp

    for x in np.linspace(-86.9, 87.9, 10_001, dtype=np.float32):
        assert abs(short_exp(x) / np.exp(np.float64(x)) - 1) <= 5e-7


@pytest.mark.parametrize("name", ["dnc", "memnn", "rmc"])
def test_the_listed_cost_of_a_memory_does_not_depend_on_its_kernel(monkeypatch, name):
    counts = []
    for switch in ("0", "1"):
        monkeypatch.setenv(SWITCH, switch)
        counts.append(describe(name)["flop_per_step"])
    assert counts[0] == counts[1]
