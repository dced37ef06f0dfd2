"""Checks that a core keeps episodes, rows and time steps separate.

Each property of the contract is a function of one core that raises ``BrokenContract``.
"""

from __future__ import annotations

import torch

from memrl.memory import state as states
from memrl.testing.core_runs import (
    ROWS,
    Core,
    gradient_sizes,
    gradients,
    inputs,
    no_starts,
    require,
    require_same,
    results_where,
    run,
    some_starts,
    span,
    used_state,
    worst_values,
)


def a_start_forgets_everything_even_nan(core: Core) -> None:
    """A row that starts does not depend on the given state, whatever its values."""
    x, start = inputs(core).requires_grad_(), no_starts(inputs(core))
    start[0, ::2] = True  # rows 0 and 2
    used = used_state(core)
    poisoned = states.where(start[0], states.map_state(worst_values, used), used)
    want, got = run(core, x, start, state=used), run(core, x, start, state=poisoned)
    require_same(got.y, want.y, "a row that starts still sees the state that was handed in")
    require_same(got.gradients, want.gradients, "a state that was forgotten reaches the gradients")
    opened = core(x, core.initial_state(ROWS), no_starts(x)).y
    require_same(got.y[:, ::2], opened[:, ::2], "a row that starts is not in the initial state")
    y, _ = core.step(x[0], poisoned, start[0])
    require_same(
        y, want.y[0], "in step(), a row that starts still sees the state that was handed in"
    )


def a_start_forgets_inputs_even_nan(core: Core) -> None:
    """NaN inputs of one episode reach neither the next episode nor another row.

    The same holds for gradients with respect to inputs, but not for those of weights, which are
    sums over all steps and so contain 0 times NaN.
    """
    x, start = inputs(core), no_starts(inputs(core))
    opened = len(x) - 3
    start[opened, ::2] = True
    spoiled = x.clone()
    spoiled[:opened, ::2] = torch.nan
    late = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    late[:opened, ::2] = False
    for cut in (0, opened - 1):  # one piece, or a state that holds NaN in the middle of an episode
        want, got = (results_where(core, each, start, late, cut) for each in (x, spoiled))
        for what in want:
            require_same(
                got[what], want[what], f"NaN of an earlier episode or another row reaches {what}"
            )


def a_long_row_with_starts_equals_short_rows(core: Core) -> None:
    """Episodes one after the other in a row give the same results as in separate padded rows."""
    lengths = (4, 1, 6)
    x = inputs(core, sum(lengths), 1)
    pieces = x.split(lengths)  # type: ignore[no-untyped-call]
    start = no_starts(x)
    start[[0, 4, 5]] = True
    state = states.select(used_state(core), torch.tensor([1], device=x.device))
    long = core(x, state, start).y[:, 0]

    side_by_side = torch.nn.utils.rnn.pad_sequence([piece[:, 0] for piece in pieces])
    short_start = no_starts(side_by_side)
    short_start[0] = True
    padded = core(side_by_side, used_state(core), short_start).y
    short = torch.cat([padded[:length, row] for row, length in enumerate(lengths)])
    require_same(long, short, "episodes in one row differ from the same episodes side by side")
    sentence = "episodes in one row give other gradients than side by side"
    require_same(gradients(core, long), gradients(core, short), sentence)


def rows_do_not_mix(core: Core) -> None:
    """A row does not depend on the other rows, nor on its position."""
    x, start, state = inputs(core), some_starts(core), used_state(core)
    whole = core(x, state, start)
    other = x.clone()
    other[:, 1] = 10 * x.flip(0)[:, 1] + 1
    changed = core(other, state, start)
    require_same(changed.y[:, ::2], whole.y[:, ::2], "a row changes with the input of another row")
    order = torch.tensor([2, 0, 1], device=x.device)
    permuted = core(x[:, order], states.select(state, order), start[:, order])
    require_same(permuted.y, whole.y[:, order], "rows in another order give other results")
    require_same(
        permuted.state, states.select(whole.state, order), "states depend on the order of rows"
    )


def nothing_is_seen_ahead_of_time(core: Core) -> None:
    """Later inputs and starts do not change earlier outputs."""
    x, start, state = inputs(core), some_starts(core), used_state(core)
    y = core(x, state, start).y
    for now in range(1, len(x)):
        later, later_start = x.clone(), start.clone()
        later[now:], later_start[now:] = 10 * x[now:].flip(0) + 1, ~start[now:]
        sentence = f"outputs before step {now} change with inputs from step {now} on"
        require_same(core(later, state, later_start).y[:now], y[:now], sentence)


def padding_after_the_end_changes_nothing(core: Core) -> None:
    """Zeros after the end of a sequence change neither earlier outputs nor their gradients."""
    x, start, state = inputs(core), some_starts(core), used_state(core)
    y = core(x, state, start).y
    padded, padded_start = torch.cat([x, 0 * x]), torch.cat([start, no_starts(x)])
    longer = core(padded, state, padded_start).y[: len(x)]
    require_same(longer, y, "outputs change when zeros follow")
    require_same(gradients(core, longer), gradients(core, y), "gradients change when zeros follow")


def gradients_reach_back_as_far_as_the_horizon(core: Core) -> None:
    """The last output depends on the inputs of exactly ``horizon`` earlier steps; None: on all."""
    reach = gradient_sizes(core)
    opening = 0 if core.horizon is None else len(reach) - 1 - core.horizon
    require(
        bool(reach[opening] > 0),
        f"horizon is {core.horizon}, but the last of {len(reach)} outputs has no gradient with "
        f"respect to the input {len(reach) - 1 - opening} steps before",
    )
    far = [len(reach) - 1 - t for t in range(opening) if reach[t] > 0]
    require(not far, f"horizon is {core.horizon}, but gradients reach back {max(far, default=0)}")


def gradients_stop_at_a_start(core: Core) -> None:
    """Inputs before an episode's start get no gradient from it."""
    middle = span(core) - 2
    reach = gradient_sizes(core, start_at=middle)
    far = [t for t in range(middle) if reach[t] > 0]
    require(not far, f"an episode that starts at step {middle} has gradients at steps {far}")
