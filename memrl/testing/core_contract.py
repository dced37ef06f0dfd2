"""The contract of a memory core, as checks for any core.

``check_core(MyCore)`` reports for every property whether it holds and, if not, what is wrong. Each
property is also a function of one core that raises ``BrokenContract``, for use in a test runner.
All but the long run use float64; random values have fixed seeds.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from safetensors.torch import load, save
from torch import Tensor

from memrl.memory import state as states
from memrl.memory.core import MemoryCore
from memrl.testing.core_runs import (
    EXTREMES,
    ROWS,
    BrokenContract,
    Core,
    bits_equal,
    device_of,
    extreme_inputs,
    finite,
    gradients,
    inputs,
    no_starts,
    require,
    require_same,
    require_same_run,
    run,
    some_starts,
    stepped,
    tensor_attributes,
    used_state,
)
from memrl.testing.row_isolation import (
    a_long_row_with_starts_equals_short_rows,
    a_start_forgets_everything_even_nan,
    a_start_forgets_inputs_even_nan,
    gradients_reach_back_as_far_as_the_horizon,
    gradients_stop_at_a_start,
    nothing_is_seen_ahead_of_time,
    padding_after_the_end_changes_nothing,
    rows_do_not_mix,
)

Make: TypeAlias = Callable[[int], Core]  # input width -> a core

IN_DIM = 5  # width of the input
LONG_RUN = 2_000  # steps
PIECE = 50  # steps of a long run at a time


class Result(NamedTuple):
    """The result of one property's check."""

    name: str  # e.g. "rows do not mix"
    passed: bool
    reason: str  # empty when passed


def check_core(core: Core | type[Core] | Make, *, steps: int = LONG_RUN) -> list[Result]:
    """Check every property of the contract, each on a new copy of the core in float64.

    Args:
        core: a core, a class with defaults for every option, or a function from the width of the
            input to a core.
        steps: length of the run that must stay finite.
    """
    return [_result(check, core, steps) for check in CHECKS]


def fresh(core: Core | type[Core] | Make) -> Core:
    """A core in float64, always with equal weights if built from a class or a function."""
    if isinstance(core, MemoryCore):
        return copy.deepcopy(core).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return cast(Make, core)(IN_DIM).double()


def _result(check: Callable[[Core], None], core: Core | type[Core] | Make, steps: int) -> Result:
    name = check.__name__.replace("_", " ")
    try:
        if check is a_long_run_stays_finite:
            a_long_run_stays_finite(fresh(core), steps)
        else:
            check(fresh(core))
    except BrokenContract as error:
        return Result(name, False, str(error))
    except Exception as error:  # an error in the core is a result, not a crash of the checks
        return Result(name, False, f"it raised {type(error).__name__}: {error}")
    return Result(name, True, "")


def shapes_and_types_are_as_promised(core: Core) -> None:
    """Outputs are [T, B, O], cost is [T, B]; state leaves are [B, ...] and keep shape and dtype."""
    x, state = inputs(core), core.initial_state(ROWS)
    before = {name: (leaf.shape, leaf.dtype) for name, leaf in states.flatten(state).items()}
    for name, leaf in states.flatten(state).items():
        require(leaf.shape[:1] == (ROWS,), f"leaf {name} {list(leaf.shape)} does not lead with B")
    y, stepped = core.step(x[0], state, no_starts(x)[0])
    unrolled = core(x, state, no_starts(x))
    for got, shape in ((y, x.shape[1:2]), (unrolled.y, x.shape[:2])):
        want = (*shape, core.out_dim)
        require(got.shape == want, f"y has shape {list(got.shape)}, not {list(want)}")
        require(got.dtype == x.dtype, f"x is {x.dtype} but y is {got.dtype}")
    for after in (stepped, unrolled.state):
        leaves = {name: (leaf.shape, leaf.dtype) for name, leaf in states.flatten(after).items()}
        require(leaves == before, f"the state changes from {before} to {leaves}")
    if unrolled.cost is not None:
        require(unrolled.cost.shape == x.shape[:2], "the cost of a sequence is not [T, B]")


def tensors_are_made_where_the_parameters_are(core: Core) -> None:
    """Tensors are made on the parameters' device, even if the default device is "meta"."""
    x, start, device = inputs(core), some_starts(core), device_of(core)
    with torch.device("meta"):
        try:
            state = core.initial_state(ROWS)
            y, state = core.step(x[0], state, start[0])
            unrolled = core(x, state, start)
        except (RuntimeError, NotImplementedError) as error:
            raise BrokenContract(f"a tensor is made on the default device: {error}") from error
    for made in (y, unrolled.y, *states.leaves(unrolled.state)):
        require(made.device == device, f"a result is on {made.device}, the core on {device}")


def a_sequence_equals_its_steps(core: Core) -> None:
    """``forward`` gives the outputs, last state, cost and gradients of ``step``."""
    x, start = inputs(core).requires_grad_(), some_starts(core)
    require_same_run(
        run(core, x, start), stepped(core, x, start), "a sequence differs from its steps"
    )


def a_sequence_may_be_cut_anywhere(core: Core) -> None:
    """Two pieces, with the state passed on, give the results and gradients of the whole."""
    x, start = inputs(core).requires_grad_(), some_starts(core)
    whole = run(core, x, start)
    for cut in range(1, len(x)):
        sentence = f"cut after {cut} of {len(x)} steps, a sequence differs from the whole"
        require_same_run(whole, run(core, x, start, cut), sentence)


def a_state_survives_the_disk(core: Core) -> None:
    """A state that was detached, cloned or saved and loaded gives the same outputs."""
    x, start, state = inputs(core), some_starts(core), used_state(core)
    want = core(x, state, start).y
    copies = {"detach": states.detach(state), "clone": states.clone(state)}
    stored = {name: leaf.contiguous() for name, leaf in states.flatten(copies["clone"]).items()}
    loaded = {name: leaf.to(x.device) for name, leaf in load(save(stored)).items()}
    copies["a file"] = states.unflatten(state, loaded)
    for way, copied in copies.items():
        require(type(copied) is type(state), f"through {way} a state becomes {type(copied)}")
        require_same(
            core(x, copied, start).y, want, f"a state that went through {way} continues otherwise"
        )


def a_copy_of_the_core_continues_alike(core: Core) -> None:
    """Parameters, buffers and the state determine the results: a copied core gives the same."""
    x, start, state = inputs(core), some_starts(core), used_state(core)
    want = core(x, state, start).y
    require_same(copy.deepcopy(core)(x, state, start).y, want, "a deep copy of the core differs")
    other = copy.deepcopy(core)
    with torch.no_grad():
        for tensor in (*other.parameters(), *other.buffers()):
            tensor.zero_()
    other.load_state_dict(core.state_dict())
    require_same(other(x, state, start).y, want, "a core with the same state_dict differs")


def nothing_is_kept_on_the_core(core: Core) -> None:
    """A call stores no tensor on the core, changes no buffer, and is reproducible."""
    x, start, state = inputs(core), some_starts(core), used_state(core)
    already = {id(tensor): tensor for _, tensor in tensor_attributes(core)}  # keeps ids unique
    buffers = {name: buffer.clone() for name, buffer in core.named_buffers()}
    first = core(x, state, start).y
    core.step(x[0], state, start[0])
    new = sorted({name for name, tensor in tensor_attributes(core) if id(tensor) not in already})
    require(not new, f"a call keeps tensors on the core: {', '.join(new)}")
    for name, buffer in core.named_buffers():
        require(bits_equal(buffer, buffers[name]), f"a call edits the buffer {name}")
    again = core(x, state, start).y
    require(bits_equal(first, again), "the same call twice gives two results")


def every_parameter_learns(core: Core) -> None:
    """Every parameter gets a finite, non-zero gradient from outputs and cost; none is frozen."""
    x = inputs(core)
    before = {name: p.requires_grad for name, p in core.named_parameters()}
    unrolled = core(x, core.initial_state(ROWS), no_starts(x))
    after = {name: p.requires_grad for name, p in core.named_parameters()}
    require(after == before, f"a call changes requires_grad from {before} to {after}")
    for name, gradient in gradients(core, unrolled.y, cost=unrolled.cost).items():
        require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite")
        require(bool(gradient.any()), f"the gradient of {name} is zero")


def diagnostics_are_plain_numbers(core: Core) -> None:
    """Diagnostics are [B, ...], keep their shape and are detached; those of a step likewise."""

    def told(state: Any) -> dict[str, Tensor]:
        with torch.no_grad():
            of_step = core.step_diagnostics(inputs(core)[0], state)
        return core.diagnostics(state) | of_step

    first, later = told(core.initial_state(ROWS)), told(used_state(core))
    require(first.keys() == later.keys(), f"diagnostics are first {[*first]}, later {[*later]}")
    for name, value in later.items():
        shape = list(value.shape)
        require(not value.requires_grad, f"the diagnostic {name} requires a gradient")
        require(shape[:1] == [ROWS], f"the diagnostic {name} {shape} does not lead with B")
        before = list(first[name].shape)
        require(shape == before, f"the diagnostic {name} changes from {before} to {shape}")


def a_long_run_stays_finite(core: Core, steps: int = LONG_RUN) -> None:
    """In float32, long episodes of noise, zeros, 1e4 or ones give no NaN and no infinity.

    Outputs and states are checked throughout, gradients over the last 50 steps.
    """
    core = copy.deepcopy(core).float()
    noise = torch.Generator().manual_seed(1)
    state = states.clone(core.initial_state(len(EXTREMES)))
    pieces = [PIECE] * (steps // PIECE) + [steps % PIECE] * (steps % PIECE > 0)
    with torch.no_grad():
        for number, length in enumerate(pieces):
            x = extreme_inputs(core, length, noise)
            y, state, _ = core(x, state, no_starts(x))
            done = PIECE * number + length
            require(finite(y, state), f"after {done} steps a value is not finite")
        x = extreme_inputs(core, PIECE, noise)
        stepped, never = state, no_starts(x)
        for t in range(PIECE):
            y, stepped = core.step(x[t], stepped, never[t])
        require(finite(y, stepped), f"{PIECE} steps later, taken one by one, a value is not finite")
    last = core(x.requires_grad_(), state, never)
    for name, gradient in gradients(core, last.y, x, last.cost).items():
        require(finite(gradient), f"the gradient of {name} is not finite")


def donating_changes_no_value(core: Core) -> None:
    """``donate=True`` gives the same results as a plain step and changes no parameter."""
    x, start = inputs(core), some_starts(core)
    parameters = {name: value.clone() for name, value in core.state_dict().items()}
    with torch.no_grad():
        plain, donated = core.initial_state(ROWS), core.initial_state(ROWS)
        for t in range(len(x)):
            want, plain = core.step(x[t], plain, start[t])
            got, donated = core.step(x[t], donated, start[t], donate=True)
            require_same(got, want, f"a donated step differs from a plain one at step {t}")
    for name, value in core.state_dict().items():
        require(bits_equal(value, parameters[name]), f"a donated step edits {name}")


def the_old_state_stays_valid(core: Core) -> None:
    """Neither a step without ``donate`` nor a sequence changes the given state."""
    x, state = inputs(core), used_state(core)
    start = no_starts(x)  # a reset would put a new tensor in place of the old one
    before = states.clone(state)
    for verb in ("step", "forward"):
        with torch.no_grad():
            core.step(x[0], state, start[0]) if verb == "step" else core(x, state, start)
        for name, leaf in states.flatten(state).items():
            untouched = bits_equal(leaf, states.flatten(before)[name])
            require(untouched, f"{verb}() edits leaf {name!r} of the state it was given")


def an_ablation_changes_outputs_until_it_ends(core: Core) -> None:
    """Without any one part of ``ablations`` outputs differ; afterwards they are as before."""
    x, start, state = inputs(core), no_starts(inputs(core)), used_state(core)
    want = core(x, state, start).y
    for part in sorted(core.ablations):
        core.silence(part)
        require(not bits_equal(core(x, state, start).y, want), f"without {part} nothing changes")
        core.silence(None)
        require_same(core(x, state, start).y, want, f"after an ablation of {part} outputs differ")


CHECKS: tuple[Callable[[Core], None], ...] = (
    shapes_and_types_are_as_promised,
    tensors_are_made_where_the_parameters_are,
    a_sequence_equals_its_steps,
    a_sequence_may_be_cut_anywhere,
    a_start_forgets_everything_even_nan,
    a_start_forgets_inputs_even_nan,
    a_long_row_with_starts_equals_short_rows,
    rows_do_not_mix,
    nothing_is_seen_ahead_of_time,
    padding_after_the_end_changes_nothing,
    gradients_reach_back_as_far_as_the_horizon,
    gradients_stop_at_a_start,
    a_state_survives_the_disk,
    a_copy_of_the_core_continues_alike,
    nothing_is_kept_on_the_core,
    every_parameter_learns,
    diagnostics_are_plain_numbers,
    a_long_run_stays_finite,
    donating_changes_no_value,
    the_old_state_stays_valid,
    an_ablation_changes_outputs_until_it_ends,
)
