"""Universal Transformer: one block composed with itself, copies of the halted, and their price."""

from __future__ import annotations

import torch

from memrl.memory import UniversalTransformer
from memrl.memory.ops.attention import window

T, B, M, D, N, IN = 11, 2, 5, 7, 3, 2


def make(**options):
    sizes = {"memory_len": M, "heads": 2, "head_dim": 3, "mlp_dim": 13, "hidden_dim": D}
    return UniversalTransformer(IN, **(sizes | {"max_steps": N} | options)).double()


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def never(length=T):
    return torch.zeros(length, B, dtype=torch.bool)


def halting(core, bias, weight=0.0):
    with torch.no_grad():
        core.halting.weight.copy_(weight * torch.linspace(-1, 1, D))
        core.halting.bias.fill_(bias)


def test_at_first_all_rounds_run_with_equal_weights():
    core = make()
    out = core(rand(T, B, IN), core.initial_state(B), never())
    torch.testing.assert_close(out.state.ponder, torch.full((B,), N + 1 / N).double())


def test_without_halting_it_is_the_block_composed_with_itself():
    core, x = make(memory_len=T), rand(T, B, IN)
    halting(core, -1e3)
    s = core.embed(x).transpose(0, 1)
    ages = torch.arange(T).double().repeat(B, 1)
    nothing = torch.zeros(B, T, D).double()
    for n in range(N):
        s = core.block(s + core.rounds[n], nothing, window(ages, T))
    got = core(x, core.initial_state(B), never()).y
    torch.testing.assert_close(got, s.transpose(0, 1))


def test_halting_at_once_leaves_one_round():
    core, x = make(), rand(T, B, IN)
    halting(core, 9.0)  # above 0.99
    out = core(x, core.initial_state(B), never())
    want = torch.full((T, B), 2 * core.ponder_cost, dtype=torch.float64)
    torch.testing.assert_close(out.cost, want, rtol=1e-6, atol=0)
    one = make(max_steps=2)
    one.load_state_dict(core.state_dict() | {"rounds": core.rounds[:2]})
    torch.testing.assert_close(one(x, one.initial_state(B), never()).y, out.y)


def plain(core, x):
    """Outputs and ρ of one episode [T, I], one position, round and earlier step at a time."""
    steps = [[] for _ in core.rounds]  # what each position had when it entered round n
    ys, ponders = [], []
    for t in range(len(x)):
        s, spent, y, ponder = core.embed(x[t]), 0.0, torch.zeros(D).double(), None
        for n, sign in enumerate(core.rounds):
            entering = s + sign
            steps[n].append(entering)
            if ponder is None:
                past = steps[n][max(0, t - M) : t]
                padded = [torch.zeros(D).double()] * (M - len(past)) + past
                seen = window(torch.tensor([[float(min(t, M))]]), M)
                s = core.block(entering[None, None], torch.stack(padded)[None], seen)[0, 0]
                h = core.halting(s).sigmoid()[0]
                if spent + h >= 0.99 or n == N - 1:
                    y, ponder = y + (1 - spent) * s, n + 1 + (1 - spent)
                else:
                    y, spent = y + h * s, spent + h
        ys.append(y)
        ponders.append(ponder)
    return torch.stack(ys), torch.stack([torch.as_tensor(p) for p in ponders])


def test_outputs_and_cost_match_the_plain_loops_where_some_halt_and_some_do_not():
    core, x, start = make(), rand(T, B, IN), never()
    halting(core, -1.0, weight=6.0)
    start[4, 1] = True
    with torch.no_grad():
        out = core(x, core.initial_state(B), start)
        wanted = [plain(core, x[:, 0]), plain(core, x[:4, 1]), plain(core, x[4:, 1])]
    y = torch.stack([wanted[0][0], torch.cat([wanted[1][0], wanted[2][0]])], dim=1)
    ponder = torch.stack([wanted[0][1], torch.cat([wanted[1][1], wanted[2][1]])], dim=1)
    torch.testing.assert_close(out.y, y)
    torch.testing.assert_close(out.cost, core.ponder_cost * ponder)
    assert (ponder == 2).any()  # one that halts in the first round is seen by later ones
    assert (ponder > 3).any()  # in the last


def test_a_free_thought_costs_nothing():
    core = make(ponder_cost=0.0)
    assert not core(rand(T, B, IN), core.initial_state(B), never()).cost.any()
