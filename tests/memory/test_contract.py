"""Every registered memory keeps the contract, and no memory escapes it."""

from __future__ import annotations

import importlib
import pkgutil
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from suites import slow, slow_but

from memrl import memory
from memrl.memory import state as states
from memrl.memory.parts.slots import resizable
from memrl.testing import core_contract
from memrl.testing.core_contract import CHECKS, a_long_run_stays_finite, fresh

CONFIGS = Path(__file__).parents[2] / "configs" / "memory"
PAGES = Path(__file__).parents[2] / "docs" / "memories"
NOT_MEMORIES = {"core", "state", "registry"}


# What a check costs grows with how far a memory looks back.
SMALL = {
    "hidden_dim": 11, "slots": 5, "word_dim": 3, "read_heads": 2, "neighbours": 2, "frames": 3,
    "memory_len": 3, "compressed_len": 2, "rate": 2, "max_steps": 3,
}  # fmt: skip


def small(name: str) -> dict[str, int]:
    """Sizes of ``SMALL`` that the memory has."""
    known = memory.schema(name).model_fields
    return {option: size for option, size in SMALL.items() if option in known}


def words(value: object) -> str:
    return getattr(value, "__name__", str(value))


ALL = [(name, check) for name in memory.names() for check in CHECKS]
# SAM's long run, which is as sparse, takes a third of the time of SDNC's.
FAST = [pair for pair in ALL if pair != ("sdnc", a_long_run_stays_finite)]


@pytest.mark.parametrize(("name", "check"), slow_but(FAST, ALL), ids=words)
def test_every_memory_keeps_the_contract(name, check):
    if check is a_long_run_stays_finite:
        check = partial(check, steps=150)  # 2,000 at the default sizes
    check(fresh(lambda in_dim: memory.build(name, in_dim, small(name))))


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "check"), ALL, ids=words)
def test_every_memory_keeps_the_contract_at_its_default_sizes(name, check):
    check(fresh(lambda in_dim: memory.build(name, in_dim)))


@pytest.mark.nightly
@pytest.mark.parametrize("name", memory.names())
def test_a_hundred_thousand_steps_stay_finite(name):
    a_long_run_stays_finite(fresh(lambda in_dim: memory.build(name, in_dim)), steps=100_000)


# The checks that find most faults of another option.
FIRST = {
    core_contract.shapes_and_types_are_as_promised,
    core_contract.a_sequence_equals_its_steps,
    core_contract.a_start_forgets_everything_even_nan,
    core_contract.a_long_row_with_starts_equals_short_rows,
    core_contract.gradients_stop_at_a_start,
    core_contract.the_old_state_stays_valid,
}
SHORT = [check for check in CHECKS if check is not a_long_run_stays_finite]
OTHER_OPTIONS = [
    ("ntm", {"memory_init": "learned", "read_heads": 2, "write_heads": 3, "shift_range": 2}),
    ("ntm", {"memory_init": "random", "shift_range": 0}),
    ("dnc", {"read_heads": 3, "slots": 5, "word_dim": 2}),
    ("dnc", {"controller": "feedforward"}),
    ("dnc", {"masking": True, "deallocation": True, "link_sharpness": True, "read_heads": 2}),
    ("deltanet", {"gated": True, "heads": 3}),
    ("fart", {"feature_map": "shares", "heads": 3}),
    ("framestack", {"frames": 2}),
    ("rmc", {"blocks": 2, "gate": "memory"}),
    ("rmc", {"gate": "none", "slots": 1}),
    ("lrua", {"read_heads": 3, "slots": 5, "word_dim": 2}),
    ("graph", {"rounds": 2, "read_heads": 2, "slots": 5}),
    ("compressive", {"layers": 3, "memory_len": 3, "compressed_len": 2, "rate": 2}),
    ("compressive", {"layers": 1, "memory_len": 2, "compressed_len": 5, "rate": 1}),
    ("mamba", {"inner_dim": 3, "state_dim": 2, "rank": 1, "conv_width": 2}),
    ("act", {"max_steps": 3, "ponder_cost": 0.5}),
    ("universal", {"max_steps": 2, "memory_len": 3, "heads": 1, "head_dim": 5}),
    ("universal", {"max_steps": 4, "memory_len": 2, "ponder_cost": 0.5}),
    ("gtrxl", {"layers": 3, "memory_len": 2, "heads": 1, "head_dim": 5}),
    ("kvmemnn", {"lag": 1, "slots": 5, "hops": 3}),
    ("memn2n", {"tying": "layerwise", "slots": 3, "hops": 2}),
    ("memn2n", {"temporal": False, "slots": 5, "hops": 1}),
    ("pointer", {"slots": 5, "key_dim": 2}),
    ("dmn", {"slots": 3, "word_dim": 2, "passes": 2}),
    ("eplstm", {"slots": 3, "context": 2}),
    ("dnd", {"slots": 5, "neighbours": 3, "key_dim": 2}),
    ("dnd", {"slots": 3, "value_dim": 2}),
    ("memnn", {"write": "append", "read": "hard", "slots": 3}),
    ("memnn", {"write": "oldest", "read": "topk", "topk": 3, "slots": 5, "forget": "decay"}),
    ("memnn", {"write": "oldest", "forget": "importance", "hops": 1}),
    ("memnn", {"write": "least_used", "forget": "importance", "hops": 3, "slots": 7}),
    ("memnn", {"write": "gated", "slots": 3}),
    ("memnn", {"write": "gated", "forget": "importance", "read": "hard", "slots": 5}),
    ("memnn", {"write": "merge", "likeness": 0.1, "slots": 7}),
    ("sam", {"slots": 5, "word_dim": 3, "read_heads": 3, "neighbours": 2}),
    ("sam", {"slots": 4, "neighbours": 4}),
    ("sam", {"slots": 1, "neighbours": 1}),
    ("sdnc", {"slots": 5, "word_dim": 3, "read_heads": 3, "neighbours": 2, "partners": 2}),
    ("sdnc", {"slots": 4, "neighbours": 4, "partners": 4}),
    ("sdnc", {"slots": 1, "neighbours": 1, "partners": 1}),
]
_FIRST_OPTIONS = dict(reversed(OTHER_OPTIONS))
ONE_A_MEMORY = [
    (name, options) if options is _FIRST_OPTIONS[name] else slow(name, options)
    for name, options in OTHER_OPTIONS
]


@pytest.mark.parametrize("check", slow_but(FIRST, SHORT), ids=words)
@pytest.mark.parametrize(("name", "options"), ONE_A_MEMORY, ids=str)
def test_other_options_keep_it_too(name, options, check):
    check(fresh(lambda in_dim: memory.build(name, in_dim, {**options, "hidden_dim": 11})))


def modules() -> list[str]:
    found = pkgutil.iter_modules(memory.__path__)
    return [each.name for each in found if not each.ispkg and each.name not in NOT_MEMORIES]


@pytest.mark.parametrize("module", modules())
def test_every_module_registers_a_memory(module):
    path = importlib.import_module(f"memrl.memory.{module}").__name__
    assert path in {memory.core_class(name).__module__ for name in memory.names()}


@pytest.mark.parametrize("name", memory.names())
def test_a_config_lists_every_option_with_its_default(name):
    listed = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    options = memory.schema(name).model_fields
    assert listed == {"name": name, **{key: field.default for key, field in options.items()}}


def test_every_config_is_of_a_memory():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(memory.names())


def test_every_memory_has_a_page_and_every_page_a_memory():
    pages = {path.stem for path in PAGES.glob("*.md")}
    assert pages - {"index"} == set(memory.names())


@pytest.mark.parametrize("name", [n for n in memory.names() if memory.core_class(n).ablations])
def test_silenced_reads_change_what_comes_out(name):
    core = memory.build(name, 5).double()
    x, start = torch.randn(7, 3, 5, dtype=torch.float64), torch.zeros(7, 3, dtype=torch.bool)
    heard = core(x, core.initial_state(3), start)
    core.silence("reads")
    silent = core(x, core.initial_state(3), start)
    assert not silent.state.reads.any()
    assert not torch.allclose(silent.y, heard.y)
    # Without reads only the controller is left: what the memory holds no longer matters.
    other = core.initial_state(3)
    other = other._replace(memory=other.memory + 1, reads=other.reads + 1)
    torch.testing.assert_close(core(x, other, start).y, silent.y, rtol=0, atol=0)


@pytest.mark.parametrize("name", resizable())
def test_slots_may_be_changed(name):
    core = fresh(lambda in_dim: memory.build(name, in_dim, small(name)))
    few, many = core.slots, 13
    x, start = torch.randn(7, 3, 5, dtype=torch.float64), torch.zeros(7, 3, dtype=torch.bool)
    with torch.no_grad():
        used = core(x[:4], core.initial_state(3), start[:4]).state
        core.resize(many)
        wide = core.carry_over(used)
        # A core that was built with so many slots goes on from there as this one does.
        other = memory.build(name, 5, {**small(name), "slots": many}).double()
        other.load_state_dict(core.state_dict())
        shapes = [leaf.shape for leaf in states.leaves(wide)]
        assert shapes == [leaf.shape for leaf in states.leaves(other.initial_state(3))]
        whole, built = core(x, wide, start), other(x, wide, start)
        assert torch.equal(whole.y, built.y)
        assert core.horizon == other.horizon
        # By steps, as in a sequence.
        state = wide
        for t in range(len(x)):
            y, state = core.step(x[t], state, start[t])
            torch.testing.assert_close(y, whole.y[t])
        # And back, with nothing lost.
        core.resize(few)
        narrow = core.carry_over(wide)
    for old, new in zip(states.leaves(used), states.leaves(narrow), strict=True):
        assert torch.equal(old, new)
