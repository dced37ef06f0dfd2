"""Episodic LSTM: the equations in plain loops, and when an episode is stored, kept and replaced."""

from __future__ import annotations

import math

import pytest
import torch

import memrl
from memrl.memory import EpisodicLSTM
from memrl.pipeline.build import make_agent, make_env
from memrl.testing.core_contract import CHECKS, a_long_run_stays_finite, every_parameter_learns
from tests.support.random_cores import perturbed

B, I, K, N, H = 3, 7, 2, 5, 11  # noqa: E741
DELTA = 1e-3
A, C, D, E = (-1.0, 0.5), (0.25, 2.0), (3.0, -1.0), (0.0, 0.0)  # contexts


def build(**options):
    core = EpisodicLSTM(I, **{"slots": N, "context": K, "hidden_dim": H, **options})
    return perturbed(core)


def features(contexts, rows=B):
    """Random inputs [T, B, I] whose last features are these contexts, the same in every row."""
    x = torch.randn(len(contexts), rows, I, dtype=torch.float64)
    x[..., -K:] = torch.tensor(contexts, dtype=torch.float64).unsqueeze(1)
    return x


def run(core, x, state=None):
    start = torch.zeros(x.shape[:2], dtype=torch.bool)
    return core(x, core.initial_state(x.shape[1]) if state is None else state, start)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def distance(a, b):
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def read(context, stored):
    """m, from a list of (key, value)."""
    kernels = [1 / (distance(context, key) + DELTA) for key, _ in stored]
    total = sum(kernels)
    values = [value for _, value in stored]
    return [sum(k / total * v[j] for k, v in zip(kernels, values, strict=True)) for j in range(H)]


def cell(core, x, h, c, m):
    """One step of one row, a number at a time."""
    weight_ih, weight_hh, bias = (p.tolist() for p in (core.weight_ih, core.weight_hh, core.bias))
    gates = [
        sum(w * v for w, v in zip(weight_ih[g], x, strict=True))
        + sum(u * v for u, v in zip(weight_hh[g], h, strict=True))
        + bias[g]
        for g in range(5 * H)
    ]
    i, f, o, r, g = (gates[part * H : (part + 1) * H] for part in range(5))
    after = [
        sigmoid(i[j]) * math.tanh(g[j]) + sigmoid(f[j]) * c[j] + sigmoid(r[j]) * math.tanh(m[j])
        for j in range(H)
    ]
    return [sigmoid(o[j]) * math.tanh(after[j]) for j in range(H)], after


def by_the_equations(core, x):
    """Outputs of one row [T, H]: the dictionary is a list, the slot written longest ago first."""
    h = c = [0.0] * H
    stored, context, out = [], None, []
    for step in x.tolist():
        now = step[-K:]
        if context is None or distance(now, context) > DELTA:
            if context is not None:
                others = [item for item in stored if distance(item[0], context) > DELTA]
                stored = [*others, (context, c)][-N:]
            if core.restart:
                h = c = [0.0] * H
            context = now
        h, c = cell(core, step, h, c, read(context, stored) if stored else [0.0] * H)
        out.append(h)
    return torch.tensor(out, dtype=torch.float64)


SEVEN = [A, A, C, D, A, E, (5.0, 5.0), (6.0, 7.0), (-3.0, 4.0), (-3.0, 4.0), C, A, (9.0, 9.0), D]


@pytest.mark.parametrize("restart", [True, False])
def test_a_sequence_is_the_equations(restart):
    core = build(restart=restart)
    x = features(SEVEN)
    x[:, 1] = x.flip(0)[:, 0]  # another order of contexts in this row
    got = run(core, x).y
    for b in range(B):
        torch.testing.assert_close(got[:, b], by_the_equations(core, x[:, b]))


def test_a_cell_is_stored_where_its_context_ends_and_not_before():
    core, x = build(), features([A, A, A, C])
    before, after = run(core, x[:3]).state, run(core, x).state
    assert not before.written.any()
    assert torch.equal(before.episode, torch.ones(B).double())
    assert torch.equal(after.written[:, 0], torch.ones(B).double())
    assert torch.equal(after.keys[:, 0], x[0, :, -K:])
    torch.testing.assert_close(after.values[:, 0], before.c)
    assert not after.written[:, 1:].any()


def test_a_context_that_comes_back_reads_the_cell_of_its_last_episode():
    core, x = build(restart=True), features([A, C, D, A])
    state = run(core, x).state
    weights = core.diagnostics(state)["read_weights"]
    assert (weights[:, 0] > 0.99).all()  # δ is far below the distances of the others
    again = run(core, features([E, A]), state).state  # the end of the second episode with A
    assert torch.equal(again.keys[:, 0], x[0, :, -K:])
    torch.testing.assert_close(again.values[:, 0], state.c)
    assert ((again.keys == x[0, :, -K:].unsqueeze(1)).all(2) & (again.written > 0)).sum() == B


def test_a_full_dictionary_loses_the_context_that_was_written_longest_ago():
    others = [(float(i), 10.0) for i in range(N - 1)]
    core = build()
    # A is written again after `others`, so that the first of them has been there longest.
    state = run(core, features([A, *others, A, D, E])).state
    assert (state.written > 0).all()
    kept = {tuple(key) for key in state.keys[0].tolist()}
    assert kept == {A, D, *others[1:]}


def test_with_restart_an_episode_begins_from_zeros_and_what_is_read():
    core, x = build(restart=True), features([A, A, C])
    state = run(core, x[:2]).state
    y, after = core.step(x[2], state, torch.zeros(B, dtype=torch.bool))
    for b in range(B):
        stored = [(list(A), state.c[b].tolist())]
        h, c = cell(core, x[2, b].tolist(), [0.0] * H, [0.0] * H, read(list(C), stored))
        torch.testing.assert_close(y[b], torch.tensor(h).double())
        torch.testing.assert_close(after.c[b], torch.tensor(c).double())


def test_contexts_within_delta_are_one():
    core, x = build(), features([A, A, A])
    x[1, :, -1] += 0.9 * DELTA**0.5
    x[2, :, -1] += 1.1 * DELTA**0.5
    assert run(core, x[:2]).state.episode.tolist() == [1] * B
    assert run(core, x).state.episode.tolist() == [2] * B


def test_all_features_are_the_context_by_default():
    core = EpisodicLSTM(I, slots=N, hidden_dim=H)
    assert core.initial_state(B).keys.shape == (B, N, I)
    with pytest.raises(ValueError, match="context is 8; allowed: up to 7, the input features"):
        EpisodicLSTM(I, context=8)


def test_a_gradient_reaches_the_cell_that_is_reinstated():
    """From the first step of the second episode with A to the inputs of the first."""
    core, x = build(restart=True), features([A, A, C, C, A])
    x.requires_grad_()
    (of_x,) = torch.autograd.grad(run(core, x).y[-1].sum(), x)
    assert (of_x.abs().sum((1, 2)) > 0).all()
    with torch.no_grad():
        core.weight_hh.zero_()
        core.bias[3 * H : 4 * H] = -1e4  # r = 0: nothing is reinstated
    (of_x,) = torch.autograd.grad(run(core, x).y[-1].sum(), x)
    assert not of_x[:-1].any()


def test_a_policy_gives_the_context_and_a_width_that_does_not_fit_is_refused():
    words = [
        "env=probe/BarcodeBandit-v0",
        "env.trial=4",
        "env.num=2",
        "env.bits=3",
        "env.barcodes=2",
    ]
    words += ["memory=eplstm", "policy.beside=[obs]", "agent.minibatches=1"]
    config = memrl.compose([*words, "memory.context=3"])
    env = make_env(config)
    policy = make_agent(config, env).policy
    obs = env.reset(1)
    _, state = policy.sense(obs, policy.initial_state(2), torch.ones(2, dtype=torch.bool))
    assert torch.equal(state.context, obs["obs"].float())
    config = memrl.compose([*words, "memory.context=5"])
    sentence = r"memory.context is 5, and policy.beside=\['obs'\] has 3 numbers \(allowed: .*=3\)"
    with pytest.raises(ValueError, match=sentence):
        make_agent(config, env)


# With random inputs every step is an episode, so that with `restart` U is never used.
OTHERS = [
    check for check in CHECKS if check not in (every_parameter_learns, a_long_run_stays_finite)
]


@pytest.mark.parametrize("check", OTHERS, ids=lambda check: check.__name__)
def test_with_restart_the_contract_is_kept(check):
    check(build(restart=True, slots=3))
