"""The contract suite bites: for every fault a core can have, the property that names it fails."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.state import map_state
from memrl.testing import core_contract as testing
from memrl.testing.core_contract import check_core, fresh
from memrl.testing.core_runs import bits_equal


class Trace(NamedTuple):
    trace: Tensor  # [B, H]


class Good(MemoryCore[Trace]):
    """A leaky trace of its inputs that begins at a learned value; nothing is wrong with it."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, 11)
        self.input = nn.Linear(in_dim, 11)
        self.first = nn.Parameter(torch.randn(11))

    def initial_state(self, batch_size):
        return Trace(self.first.repeat(batch_size, 1))

    def _update(self, x, state):
        trace = (0.5 * state.trace + self.input(x)).tanh()
        return trace, Trace(trace)


class ResetsByMultiplying(Good):
    def reset(self, state, initial, start, *, donate=False):
        return map_state(lambda leaf: leaf * (~start).unsqueeze(-1), state)


class ResetsToZero(Good):
    def reset(self, state, initial, start, *, donate=False):
        zero = Trace(torch.zeros_like(initial.trace))
        return super().reset(state, zero, start, donate=donate)


class ForgetsToReset(Good):
    def forward(self, x, state, start):
        return super().forward(x, state, torch.zeros_like(start))


class ResetsAtTheEnd(Good):
    def forward(self, x, state, start):
        late = torch.cat([torch.zeros_like(start[:1]), start[:-1]])
        return super().forward(x, state, late)


class KeepsItsState(Good):
    def _update(self, x, state):
        y, self.last = super()._update(x, state)
        return y, self.last


class CountsCalls(Good):
    def __init__(self, in_dim):
        super().__init__(in_dim)
        self.register_buffer("calls", torch.zeros(()))

    def _update(self, x, state):
        self.calls += 1
        return super()._update(x, state)


class IsNoisy(Good):
    def _update(self, x, state):
        y, state = super()._update(x, state)
        return y + 0.1 * torch.randn_like(y), state


class MixesRows(Good):
    def _update(self, x, state):
        return super()._update(x + x.mean(dim=0), state)


class KnowsItsRow(Good):
    def _update(self, x, state):
        return super()._update(x + torch.arange(len(x), device=x.device).unsqueeze(-1), state)


class PeeksAhead(Good):
    def forward(self, x, state, start):
        return super().forward(x + x.flip(0), state, start)


class NormalisesOverTime(Good):
    def forward(self, x, state, start):
        return super().forward(x - x.mean(dim=0), state, start)


class DetachesEveryStep(Good):
    def _update(self, x, state):
        return super()._update(x, Trace(state.trace.detach()))


class DetachesEverySequence(Good):
    def forward(self, x, state, start):
        return super().forward(x, Trace(state.trace.detach()), start)


class RemembersTooLong(Good):
    horizon = 2


class LeaksGradientsThroughStarts(Good):
    def reset(self, state, initial, start, *, donate=False):
        kept = super().reset(state, initial, start, donate=donate)
        return Trace(kept.trace + 1e-3 * (state.trace - state.trace.detach()))


class EditsTheOldState(Good):
    def _update(self, x, state):
        with torch.no_grad():
            after = super()._update(x, state)
            state.trace.add_(1)
        return super()._update(x, state) if torch.is_grad_enabled() else after


class LendsItsParameter(Good):
    def initial_state(self, batch_size):
        return Trace(self.first.unsqueeze(0) if batch_size == 1 else self.first.repeat(3, 1)[:3])

    def step(self, x, state, start, *, donate=False):
        if donate:
            self.first.add_(1)
        return super().step(x, state, start, donate=donate)


class HasADeadParameter(Good):
    def __init__(self, in_dim):
        super().__init__(in_dim)
        self.unused = nn.Parameter(torch.zeros(3))


class FreezesItself(Good):
    def forward(self, x, state, start):
        out = super().forward(x, state, start)
        self.first.requires_grad_(False)
        return out


class Grows(Good):
    def _update(self, x, state):
        trace = 2 * state.trace + self.input(x)
        return trace.tanh(), Trace(trace)


class CannotTakeZeros(Good):
    """The length of x is added, and its gradient at zero is NaN."""

    def _update(self, x, state):
        y, state = super()._update(x, state)
        return y + x.square().sum(-1, keepdim=True).sqrt(), state


class OverflowsInSinglePrecision(Good):
    def _update(self, x, state):
        y, state = super()._update(x, state)
        return y + x.sum(-1, keepdim=True).pow(10), state


class HidesStepsBehindZeros(Good):
    """All steps enter every output, those of other episodes and rows times zero."""

    def forward(self, x, state, start):
        y, state, _ = super().forward(x, state, start)
        return Unrolled(y + 0 * x.sum(), state)


class LeaksOnlyGradients(Good):
    """A later step's gradient meets an earlier one's NaN."""

    def forward(self, x, state, start):
        y, state, _ = super().forward(x, state, start)
        others = x.detach().sum(dim=(0, 1)) * (x - x.detach())  # zero unless it is NaN
        return Unrolled(y + others.nan_to_num().sum(-1, keepdim=True), state)


class ShowsAParameter(Good):
    def diagnostics(self, state):
        return {"distance": state.trace - self.first}


class ShowsSlotsFirst(Good):
    def diagnostics(self, state):
        return {"trace": state.trace.t()}


class ShowsWhatItHas(Good):
    def diagnostics(self, state):
        return {"trace": state.trace[:, state.trace[0] > 0]}


class ShowsASumOfItsStep(Good):
    def step_diagnostics(self, x, state):
        return {"size": (x.sum() + state.trace.sum()).reshape(1)}


class LeadsWithSlots(Good):
    def initial_state(self, batch_size):
        return Trace(super().initial_state(batch_size).trace.t())


class ChangesItsDtype(Good):
    def _update(self, x, state):
        y, state = super()._update(x, Trace(state.trace.to(x.dtype)))
        return y, Trace(state.trace.float())


class MakesTensorsAnywhere(Good):
    def _update(self, x, state):
        return super()._update(x + torch.zeros(x.shape[-1]), state)


class HidesItsTape(Good):
    """Keeps what decides its next output in a closure, out of the state's reach."""

    def __init__(self, in_dim):
        super().__init__(in_dim)
        tape = []
        self.recall = lambda x: (tape.append(x.detach().mean()), tape[-2:][0])[1]

    def _update(self, x, state):
        y, state = super()._update(x, state)
        return y + self.recall(x), state


class AblatesNothing(Good):
    """Names a part, and reads it none the less."""

    ablations = frozenset({"trace"})


class AblatesForEver(AblatesNothing):
    def silence(self, part):
        self.ablate = self.ablate or frozenset({part} if part else ())

    def _update(self, x, state):
        y, after = super()._update(x, state)
        return y * 0 if self.ablate else y, after


FAULTS = [
    (ResetsByMultiplying, testing.a_start_forgets_everything_even_nan),
    (ResetsToZero, testing.a_start_forgets_everything_even_nan),
    (ForgetsToReset, testing.a_long_row_with_starts_equals_short_rows),
    (ForgetsToReset, testing.a_start_forgets_everything_even_nan),
    (ForgetsToReset, testing.a_sequence_equals_its_steps),
    (ResetsAtTheEnd, testing.a_long_row_with_starts_equals_short_rows),
    (KeepsItsState, testing.nothing_is_kept_on_the_core),
    (CountsCalls, testing.nothing_is_kept_on_the_core),
    (IsNoisy, testing.nothing_is_kept_on_the_core),
    (IsNoisy, testing.a_sequence_equals_its_steps),
    (MixesRows, testing.rows_do_not_mix),
    (KnowsItsRow, testing.rows_do_not_mix),
    (PeeksAhead, testing.nothing_is_seen_ahead_of_time),
    (PeeksAhead, testing.a_sequence_may_be_cut_anywhere),
    (NormalisesOverTime, testing.padding_after_the_end_changes_nothing),
    (DetachesEveryStep, testing.gradients_reach_back_as_far_as_the_horizon),
    (DetachesEverySequence, testing.a_sequence_may_be_cut_anywhere),
    (RemembersTooLong, testing.gradients_reach_back_as_far_as_the_horizon),
    (LeaksGradientsThroughStarts, testing.gradients_stop_at_a_start),
    (EditsTheOldState, testing.the_old_state_stays_valid),
    (LendsItsParameter, testing.donating_changes_no_value),
    (HasADeadParameter, testing.every_parameter_learns),
    (FreezesItself, testing.every_parameter_learns),
    (Grows, testing.a_long_run_stays_finite),
    (CannotTakeZeros, testing.a_long_run_stays_finite),
    (OverflowsInSinglePrecision, testing.a_long_run_stays_finite),
    (HidesStepsBehindZeros, testing.a_start_forgets_inputs_even_nan),
    (LeaksOnlyGradients, testing.a_start_forgets_inputs_even_nan),
    (ShowsAParameter, testing.diagnostics_are_plain_numbers),
    (ShowsSlotsFirst, testing.diagnostics_are_plain_numbers),
    (ShowsWhatItHas, testing.diagnostics_are_plain_numbers),
    (ShowsASumOfItsStep, testing.diagnostics_are_plain_numbers),
    (LeadsWithSlots, testing.shapes_and_types_are_as_promised),
    (ChangesItsDtype, testing.shapes_and_types_are_as_promised),
    (MakesTensorsAnywhere, testing.tensors_are_made_where_the_parameters_are),
    (HidesItsTape, testing.nothing_is_kept_on_the_core),
    (AblatesNothing, testing.an_ablation_changes_outputs_until_it_ends),
    (AblatesForEver, testing.an_ablation_changes_outputs_until_it_ends),
]


def failures(core):
    return {result.name: result.reason for result in check_core(core, steps=5) if not result.passed}


def test_a_good_core_passes_everything():
    assert failures(Good) == {}


@pytest.mark.parametrize(("faulty", "check"), FAULTS)
def test_a_planted_fault_is_found(faulty, check):
    with pytest.raises(testing.BrokenContract):
        check(fresh(faulty))


def test_every_property_has_a_fault_that_breaks_it():
    below = {testing.a_state_survives_the_disk, testing.a_copy_of_the_core_continues_alike}
    assert {check for _, check in FAULTS} | below == set(testing.CHECKS)


def test_a_state_that_holds_a_plain_number_does_not_survive_the_disk():
    class Counted(NamedTuple):
        trace: Tensor
        steps: int

    class Counts(Good):
        def initial_state(self, batch_size):
            return Counted(super().initial_state(batch_size).trace, 0)

        def _update(self, x, state):
            y, after = super()._update(x, Trace(state.trace))
            return y, Counted(after.trace, state.steps + 1)

    assert "not <class 'int'>" in failures(Counts)["a state survives the disk"]


def test_what_lies_outside_the_state_dict_is_not_copied():
    class Forgetful(Good):
        """A second weight in a buffer that no checkpoint holds."""

        def __init__(self, in_dim):
            super().__init__(in_dim)
            self.register_buffer("scale", torch.ones(()), persistent=False)

        def _update(self, x, state):
            return super()._update(self.scale * x, state)

    assert "a copy of the core continues alike" in failures(Forgetful)


def test_a_core_that_raises_fails_with_what_it_raised():
    class Raises(Good):
        def _update(self, x, state):
            raise RuntimeError("out of tape")

    assert "out of tape" in failures(Raises)["a sequence equals its steps"]


def test_an_instance_is_checked_without_being_touched():
    core = Good(5)
    before = {name: value.clone() for name, value in core.state_dict().items()}
    assert failures(core) == {}
    assert all(torch.equal(value, before[name]) for name, value in core.state_dict().items())
    assert core.first.dtype == torch.float32


def test_a_class_gives_the_same_core_every_time_and_leaves_the_global_seed_alone():
    seed = torch.random.get_rng_state()
    assert torch.equal(fresh(Good).first, fresh(Good).first)
    assert torch.equal(torch.random.get_rng_state(), seed)


def test_a_cost_that_differs_between_sequence_and_steps_is_found():
    class Priced(NamedTuple):
        trace: Tensor
        cost: Tensor  # [B]

    class Costly(Good):
        def initial_state(self, batch_size):
            trace = super().initial_state(batch_size).trace
            return Priced(trace, trace.new_zeros(batch_size))

        def _update(self, x, state):
            y, after = super()._update(x, Trace(state.trace))
            return y, Priced(after.trace, after.trace.square().sum(dim=-1))

    class Cheating(Costly):
        def forward(self, x, state, start):
            y, state, cost = super().forward(x, state, start)
            return Unrolled(y, state, cost / 2)

    assert failures(Costly) == {}
    assert "cost" in failures(Cheating)["a sequence equals its steps"]


@pytest.mark.parametrize(
    ("one", "other"), [(float("nan"), 0.0), (float("inf"), torch.finfo(torch.float32).max)]
)
def test_equal_bits_tell_nan_and_infinity_from_numbers(one, other):
    a, b = (torch.tensor([1.0, value]) for value in (one, other))
    assert bits_equal(a, a.clone())
    assert not bits_equal(a, b)


def test_equal_bits_need_equal_shapes():
    assert not bits_equal(torch.zeros(2, 3), torch.zeros(3))
    assert bits_equal(torch.tensor([True, False]), torch.tensor([True, False]))
