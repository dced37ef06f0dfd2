"""DND: the kernel of the squared distance, its nearest keys, and a window read without a loop."""

from __future__ import annotations

import math

import pytest
import torch

from memrl.memory.dnd import DND
from memrl.memory.ops.kernel import distances, kernel_weights, pick

T, B, N, K, V, H, I, P = 13, 3, 5, 2, 7, 11, 17, 3  # noqa: E741
DELTA = 1e-3


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def never(length=T):
    return torch.zeros(length, B, dtype=torch.bool)


def make(**options):
    sizes = {"slots": N, "key_dim": K, "value_dim": V, "hidden_dim": H}
    return DND(I, **{**sizes, **options}).double()


def weights(query, keys, delta=DELTA, found=None):
    """Of one query [K] over keys [P, K]."""
    found = torch.ones(len(keys), dtype=torch.bool) if found is None else found
    query, keys = torch.as_tensor(query).double(), torch.as_tensor(keys).double()
    return kernel_weights(query.view(1, 1, -1), keys[None, None], found[None, None], delta)[0, 0]


def test_squared_distances_of_one_and_three_weigh_three_to_one():
    got = weights([0.0, 0.0], [[1.0, 0.0], [1.0, math.sqrt(2)]], delta=0.0)
    torch.testing.assert_close(got, torch.tensor([0.75, 0.25]).double())


def test_three_points_worked_out_by_hand():
    # Squared distances 1, 4, 4: kernels 1, 1/4, 1/4. Unsquared they would be 1, 1/2, 1/2.
    got = weights([0.0, 0.0], [[1.0, 0.0], [0.0, 2.0], [-2.0, 0.0]], delta=0.0)
    torch.testing.assert_close(got, torch.tensor([4.0, 1.0, 1.0]).double() / 6)


def test_a_query_that_meets_its_key_reads_little_else():
    keys = [[0.0, 0.0], [30.0, 40.0], [0.0, -20.0]]
    got = weights([0.0, 0.0], keys)
    others = 1 / (2500 + DELTA) + 1 / (400 + DELTA)
    want = (1 / DELTA) / (1 / DELTA + others)
    assert want > 0.99999
    torch.testing.assert_close(got[0].item(), want)


def test_what_is_not_found_has_no_weight_and_no_gradient():
    query, keys = rand(K).requires_grad_(), rand(P, K).requires_grad_()
    found = torch.tensor([True, False, True])
    for mask in (found, torch.zeros(P, dtype=torch.bool)):
        got = weights(query, keys, found=mask)
        assert not got[~mask].any()
        of_query, of_keys = torch.autograd.grad((got * rand(P)).sum(), (query, keys))
        assert of_query.isfinite().all()
        assert not of_keys[~mask].any()


def test_the_gradient_of_a_read_is_the_analytic_one():
    query, keys, values = rand(K).requires_grad_(), rand(N, K).requires_grad_(), rand(N)
    q = weights(query, keys) @ values
    of_query, of_keys = torch.autograd.grad(q, (query, keys))
    with torch.no_grad():
        kernels = [1 / ((query - key).square().sum() + DELTA) for key in keys]
        pulls = [-2 * (query - key) * k**2 for key, k in zip(keys, kernels, strict=True)]
        shares = [(value - q) / sum(kernels) for value in values]  # dQ / dk_i
        each = [pull * share for pull, share in zip(pulls, shares, strict=True)]
        torch.testing.assert_close(of_query, sum(each))
        torch.testing.assert_close(of_keys, -torch.stack(each))


def test_a_read_lies_between_the_smallest_and_the_largest_value():
    keys, values = rand(B, T, P, K), rand(B, T, P, V)
    share = kernel_weights(rand(B, T, K), keys, torch.ones(B, T, P).bool(), DELTA)
    read = (share.unsqueeze(-1) * values).sum(2)
    assert (read <= values.amax(2) + 1e-12).all()
    assert (read >= values.amin(2) - 1e-12).all()


def test_distances_and_picks_are_those_of_every_steps_own_window():
    queries, keys = rand(B, T, K), rand(B, T + N - 1, K)
    got, index = distances(queries, keys), torch.randint(N, (B, T, P))
    picked = pick(keys, index)
    for b in range(B):
        for t in range(T):
            for n in range(N):
                want = (queries[b, t] - keys[b, t + n]).square().sum()
                torch.testing.assert_close(got[b, t, n], want)
            for p in range(P):
                assert torch.equal(picked[b, t, p], keys[b, t + index[b, t, p]])


def by_the_equations(core, x, neighbours):
    """Outputs for one row of an episode: the dictionary is a list, the nearest are sorted out."""
    stored, out = [], []
    for step in x:
        h, v, of_x = torch.split(core.input(step), [K, V, H])
        near = sorted(stored, key=lambda item: ((h - item[0]) ** 2).sum().item())[:neighbours]
        kernels = [1 / (((h - key) ** 2).sum() + DELTA) for key, _ in near]
        read = torch.zeros(V, dtype=torch.float64)
        for k, (_, value) in zip(kernels, near, strict=True):
            read = read + k / sum(kernels) * value
        out.append((of_x + core.output.weight @ read).relu())
        stored = [*stored, (h, v)][-N:]
    return torch.stack(out)


@pytest.mark.parametrize("neighbours", [1, P, N])
def test_a_sequence_is_the_equations(neighbours):
    core, x = make(neighbours=neighbours), rand(T, B, I)
    got = core(x, core.initial_state(B), never()).y
    for b in range(B):
        torch.testing.assert_close(got[:, b], by_the_equations(core, x[:, b], neighbours))


def test_of_equally_near_keys_the_older_is_read():
    core = make(neighbours=1)
    x = rand(1, B, I).expand(4, B, I)  # every key is the same
    state = core(x, core.initial_state(B), never(4)).state
    want = torch.zeros(B, N, dtype=torch.float64)
    want[:, N - 3] = 1  # the oldest of the three before the last
    assert torch.equal(state.read_weights, want)


def test_fewer_slots_than_neighbours_are_all_read():
    few, all_of_them = make(neighbours=50), make(neighbours=N)
    few.load_state_dict(all_of_them.state_dict())
    x = rand(T, B, I)
    outputs = [core(x, core.initial_state(B), never()).y for core in (few, all_of_them)]
    assert torch.equal(*outputs)
