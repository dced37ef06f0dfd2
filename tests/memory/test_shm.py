"""What an SHM computes; the numbers of its authors' code among it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from memrl.memory import SHM

FOLDER = Path(os.environ.get("MEMRL_GOLDEN", Path(__file__).parents[1] / "golden"))
T, B, IN, M, OUT, ROWS = 7, 3, 5, 11, 13, 2


def build():
    return SHM(IN, memory_dim=M, hidden_dim=OUT, thetas=ROWS).double()


def run(core, x):
    return core(x, core.initial_state(x.shape[1]), torch.zeros(x.shape[:2], dtype=torch.bool))


def test_the_authors_numbers_come_out():
    """Made with θ_0 at every step: our table has that row only."""
    with np.load(FOLDER / "shm_released.npz") as stored:
        a = {name: torch.tensor(stored[name], dtype=torch.float64) for name in stored.files}
    width, in_dim = a["param/key.weight"].shape
    core = SHM(in_dim, memory_dim=width, hidden_dim=a["y"].shape[-1], thetas=1).double()
    parts = [a[f"param/{name}.weight"] for name in ("key", "query", "value", "vc_net", "eta")]
    ours = {"mixed.weight": torch.cat(parts), "theta": a["param/theta_matrix"][:1]}
    ours |= {"output.weight": a["param/out.weight"], "output.bias": a["param/out.bias"]}
    ours |= {"norm.weight": a["param/norm.weight"], "norm.bias": a["param/norm.bias"]}
    core.load_state_dict(ours)
    y = run(core, a["x"].transpose(0, 1)).y.transpose(0, 1)
    torch.testing.assert_close(y, a["y"], rtol=0, atol=1e-5)


def test_a_sequence_is_the_papers_recurrence_with_the_rows_of_theta_in_turn():
    core = build()
    x = torch.randn(T, B, IN, dtype=torch.float64)
    got = run(core, x)
    k, q, v, calibrate, eta = core.mixed(core.norm(x)).split([M, M, M, M, 1], dim=-1)
    for b in range(B):
        memory = torch.zeros(M, M, dtype=torch.float64)
        for t in range(T):
            key, query = (p[t, b].relu() / (1e-5 + p[t, b].relu().sum()) for p in (k, q))
            C = 1 + torch.outer(core.theta[t % ROWS], calibrate[t, b]).tanh()
            memory = memory * C + eta[t, b].sigmoid() * torch.outer(v[t, b], key)
            torch.testing.assert_close(got.y[t, b], core.output(memory @ query))
        torch.testing.assert_close(got.state.memory[b], memory)
        assert got.state.phase[b] == T % ROWS


def test_without_calibration_nothing_fades():
    core = build()
    with torch.no_grad():
        core.theta.zero_()
    x = torch.randn(T, B, IN, dtype=torch.float64)
    k, _, v, _, eta = core._project(x).split([M, M, M, M, 1], dim=-1)
    want = torch.einsum("tbv,tbk->bvk", eta * v, k)
    torch.testing.assert_close(run(core, x).state.memory, want)


def test_calibration_that_only_grows_stops_at_the_bound():
    core = build()
    with torch.no_grad():
        core.theta.fill_(9)
        core.mixed.weight.fill_(0.5)
        core.norm.bias.fill_(1)
    memory = run(core, torch.randn(50, B, IN, dtype=torch.float64)).state.memory
    assert memory.max() == 100
