"""Key-value memory network: its equations, its pairs, and that MemN2N is a case of it."""

from __future__ import annotations

import pytest
import torch

from memrl.memory.kvmemnn import KeyValueMemNN
from memrl.memory.memn2n import MemN2N
from memrl.testing.core_contract import check_core
from tests.support.window_runs import B, D, I, N, T, rand, unroll

H = 3


def make(in_dim=I, **options):
    sizes = {"slots": N, "hops": H, "hidden_dim": D, "init_std": 0.5}
    core = KeyValueMemNN(in_dim, **{**sizes, **options}).double()
    with torch.no_grad():
        core.update += 0.3 * torch.randn_like(core.update)
    return core


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_outputs_match_the_plain_loops(lag):
    core, x = make(lag=lag), rand(T, B, I)
    y = unroll(core, x).y
    A, V = core.key, core.value
    for t in range(T):
        for b in range(B):
            q = A @ x[t, b]
            known = range(max(0, t - N), t - lag)  # keys whose values lie before t
            for R in core.update:
                o = torch.zeros_like(q)
                if len(known):
                    p = torch.stack([q @ (A @ x[s, b]) for s in known]).softmax(dim=0)
                    o = sum(w * (V @ x[s + lag, b]) for w, s in zip(p, known, strict=True))
                q = R @ (q + o)
            torch.testing.assert_close(y[t, b], q)


def test_keys_that_are_their_values_and_hops_that_add_are_memn2n():
    other = MemN2N(I, slots=N, hops=H, tying="layerwise", temporal=False, hidden_dim=D).double()
    core, x, eye = make(), rand(T, B, I), torch.eye(D)
    with torch.no_grad():
        core.value.copy_(core.key)
        core.update.copy_(eye.expand(H, D, D))
        other.between.copy_(eye)
        other.embeddings.copy_(core.key.expand(3, D, I))
    got, want = unroll(core, x), unroll(other, x)
    torch.testing.assert_close(got.y, want.y)
    torch.testing.assert_close(got.state.read_weights, want.state.read_weights)


def test_a_hop_adds_at_first():
    core = KeyValueMemNN(I, hops=H, hidden_dim=D)
    assert torch.equal(core.update, torch.eye(D).expand(H, D, D))


def test_with_a_lag_of_one_it_recalls_what_followed():
    symbols, sharp = 7, 30.0
    core = make(symbols, slots=10, hops=1, lag=1, hidden_dim=symbols)
    with torch.no_grad():
        core.key.copy_(sharp * torch.eye(symbols))
        core.value.copy_(torch.eye(symbols))
        core.update.copy_(torch.eye(symbols).unsqueeze(0))
    told = torch.tensor([4, 0, 2, 6, 5, 1])  # 0 follows 4, 6 follows 2, 1 follows 5
    for asked, follows in ((4, 0), (2, 6), (5, 1)):
        sequence = torch.cat([told, torch.tensor([asked])])
        x = torch.eye(symbols, dtype=torch.float64)[sequence].unsqueeze(1).expand(-1, B, -1)
        answer = unroll(core, x).y[-1] - sharp * x[-1]
        torch.testing.assert_close(answer, torch.eye(symbols).double()[follows].expand(B, -1))


def test_weights_lie_at_the_place_of_the_key():
    core, x = make(lag=2), rand(T, B, I)
    weights = unroll(core, x).state.read_weights
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(B, H).double())
    assert weights[..., : N - 2].all()
    assert not weights[..., N - 2 :].any()


def test_a_lag_leaves_a_pair():
    with pytest.raises(ValueError, match="lag is 5; allowed: below slots, 5"):
        make(lag=5)


def test_the_key_of_an_only_pair_changes_nothing():
    core = KeyValueMemNN(I, slots=3, lag=2)
    assert core.horizon == 1
    failed = [result for result in check_core(core, steps=50) if not result.passed]
    assert not failed
