"""What a linear transformer computes; POPGym's numbers among it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from memrl.memory import FART

FOLDER = Path(os.environ.get("MEMRL_GOLDEN", Path(__file__).parents[1] / "golden"))
T, B, IN, HEADS, K, OUT = 7, 3, 5, 2, 11, 13


def build(**options):
    return FART(IN, **{"heads": HEADS, "head_dim": K, "hidden_dim": OUT, **options}).double()


def never(steps=T):
    return torch.zeros(steps, B, dtype=torch.bool)


def golden(name, **options):
    """POPGym's arrays, our core with its parameters, and our states after every step."""
    with np.load(FOLDER / name) as stored:
        a = {name: torch.tensor(stored[name], dtype=torch.float64) for name in stored.files}
    width, in_dim = a["param/key.weight"].shape
    core = FART(in_dim, heads=1, head_dim=width, hidden_dim=a["y"].shape[-1], **options).double()
    ours = {"ff.0": "inner", "ff.2": "outer"}
    with torch.no_grad():
        for name, value in a.items():
            if name.startswith("param/"):
                layer, kind = name.removeprefix("param/").rsplit(".", 1)
                core.get_parameter(f"{ours.get(layer, layer)}.{kind}").copy_(value)
    x = a["x"].transpose(0, 1)  # [T, B, I]
    start = torch.zeros(x.shape[:2], dtype=torch.bool)
    states = [core.initial_state(x.shape[1])]
    for t in range(len(x)):
        states.append(core.step(x[t], states[-1], start[t])[1])
    y = core(x, states[0], start).y.transpose(0, 1)
    torch.testing.assert_close(y, a["y"], rtol=0, atol=1e-5)
    return a, states[1:]


def test_popgyms_numbers_come_out():
    a, states = golden("fart_popgym.npz")
    for t, state in enumerate(states):
        torch.testing.assert_close(state.memory[:, 0], a["S"][:, t], rtol=0, atol=1e-5)
        torch.testing.assert_close(state.norm[:, 0], a["Z"][:, t], rtol=0, atol=1e-5)


def test_the_numbers_of_popgyms_fast_weights_come_out():
    a, states = golden("fwp_popgym.npz", feature_map="shares")
    for t, state in enumerate(states):  # theirs is values by keys
        torch.testing.assert_close(state.memory[:, 0].mT, a["S"][:, t], rtol=0, atol=1e-5)


def test_a_read_is_attention_over_all_steps_so_far():
    core = build()
    x = torch.randn(T, B, IN, dtype=torch.float64)
    seen, _ = core._attend(core._project(x), core.initial_state(B), never())
    normed = core.norm(x)
    q, k, v = (f(normed).unflatten(-1, (HEADS, K)) for f in (core.query, core.key, core.value))
    for b in range(B):
        for h in range(HEADS):
            for t in range(T):
                phi = [torch.nn.functional.elu(each) + 1 for each in (q[t, b, h], k[: t + 1, b, h])]
                score = phi[1] @ phi[0]
                want = (score / (score.sum() + 1e-5)) @ v[: t + 1, b, h]
                torch.testing.assert_close(seen[t, b, h * K : (h + 1) * K], want)


def test_a_read_by_shares_is_a_sum_of_values_by_how_alike_keys_and_queries_are():
    core = build(feature_map="shares")
    x = torch.randn(T, B, IN, dtype=torch.float64)
    seen, _ = core._attend(core._project(x), core.initial_state(B), never())
    normed = core.norm(x)
    q, k, v = (f(normed).unflatten(-1, (HEADS, K)) for f in (core.query, core.key, core.value))
    q, k = (each.relu() / (1e-5 + each.relu().sum(-1, keepdim=True)) for each in (q, k))
    for b in range(B):
        for h in range(HEADS):
            for t in range(T):
                want = sum((q[t, b, h] @ k[s, b, h]) * v[s, b, h] for s in range(t + 1))
                torch.testing.assert_close(seen[t, b, h * K : (h + 1) * K], want)


def test_one_pair_is_read_whatever_the_query():
    core = build()
    x = torch.randn(2, B, IN, dtype=torch.float64)
    state = core.step(x[0], core.initial_state(B), never()[0])[1]
    value = core.value(core.norm(x[0])).view(B, HEADS, K)
    q = torch.rand(B, HEADS, K, dtype=torch.float64) + 0.5
    read = torch.einsum("bhk,bhkv->bhv", q, state.memory) / (q * state.norm).sum(-1, keepdim=True)
    torch.testing.assert_close(read, value)
