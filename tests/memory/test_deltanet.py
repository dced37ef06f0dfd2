"""What a DeltaNet computes, and what the delta rule is for."""

from __future__ import annotations

import pytest
import torch

from memrl.memory import DeltaNet

T, B, IN, HEADS, K, OUT = 7, 3, 5, 2, 11, 13
both = pytest.mark.parametrize("gated", [False, True])


def build(**options):
    return DeltaNet(IN, **{"heads": HEADS, "head_dim": K, "hidden_dim": OUT, **options}).double()


def never(steps=T):
    return torch.zeros(steps, B, dtype=torch.bool)


@both
def test_a_sequence_is_the_papers_recurrence(gated):
    core = build(gated=gated)
    x = torch.randn(T, B, IN, dtype=torch.float64)
    got = core(x, core.initial_state(B), never())
    silu, one = torch.nn.functional.silu, torch.eye(K, dtype=torch.float64)
    for b in range(B):
        reads = torch.zeros(T, HEADS, K, dtype=torch.float64)
        for h in range(HEADS):
            rows = slice(h * K, (h + 1) * K)
            S = torch.zeros(K, K, dtype=torch.float64)  # values by keys, as in the paper
            for t in range(T):
                q, k = (silu(f.weight[rows] @ x[t, b]) for f in (core.query, core.key))
                q, k = (each / (each @ each + 1e-6).sqrt() for each in (q, k))
                beta = (core.beta.weight[h] @ x[t, b]).sigmoid()
                alpha = core.alpha(x[t, b])[h].sigmoid() if gated else 1.0
                v = core.value.weight[rows] @ x[t, b]
                S = alpha * S @ (one - beta * torch.outer(k, k)) + beta * torch.outer(v, k)
                reads[t, h] = S @ q
            torch.testing.assert_close(got.state.memory[b, h], S.T)
        rms = (reads.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        read = (reads / rms * core.scale).flatten(1) * silu(core.gate(x[:, b]))
        torch.testing.assert_close(got.y[:, b], core.output(read))


def write(core, memory, key, value, beta=1.0):
    """One update with everything given by hand, [K] each, in every head of every row."""

    def rows(vector):
        return torch.as_tensor(vector, dtype=torch.float64).expand(B, HEADS, -1).reshape(B, -1)

    gates = torch.tensor([beta] * HEADS + [0.0] * HEADS, dtype=torch.float64).expand(B, -1)
    x = torch.cat([rows(key), rows(key), rows(value), rows(key), gates], dim=-1)
    return core._update(x, core.initial_state(B)._replace(memory=memory))[1].memory


def test_as_many_facts_as_a_key_is_wide_are_recalled_exactly_and_rewritten_one_by_one():
    core, basis = build(), torch.linalg.qr(torch.randn(K, K, dtype=torch.float64)).Q
    values = torch.randn(K, K, dtype=torch.float64)
    memory = core.initial_state(B).memory
    for key, value in zip(basis, values, strict=True):
        memory = write(core, memory, key, value)
    torch.testing.assert_close(basis @ memory, values.expand(B, HEADS, K, K))
    values[4] = 7.0
    memory = write(core, memory, basis[4], values[4])
    torch.testing.assert_close(basis @ memory, values.expand(B, HEADS, K, K))


def test_half_a_beta_goes_half_the_way():
    core, key = build(), torch.eye(K, dtype=torch.float64)[2]
    memory = write(core, core.initial_state(B).memory, key, torch.full((K,), 4.0))
    memory = write(core, memory, key, torch.full((K,), 2.0), beta=0.5)
    assert (key @ memory == 3.0).all()


def test_the_gate_starts_nearly_open():
    core = build(gated=True)
    fade = core._split(core._project(torch.zeros(B, IN, dtype=torch.float64)))[-1]
    torch.testing.assert_close(fade.exp(), torch.full_like(fade, 0.9820137900379085))
