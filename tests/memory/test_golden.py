"""NTM and DNC compute what public reference implementations compute, parameters loaded.

The arrays were made with Csordas' DNC (mask, de-allocation and link sharpness off) and
loudinthecloud's NTM. Sizes are read off the arrays; ``MEMRL_GOLDEN`` names another folder of them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from memrl.memory import DNC, NTM

FOLDER = Path(os.environ.get("MEMRL_GOLDEN", Path(__file__).parents[1] / "golden"))
DNC_FILES = sorted(FOLDER.glob("dnc_csordas*.npz"))
NTM_FILES = sorted(FOLDER.glob("ntm_loudinthecloud*.npz"))


def arrays(path: Path) -> dict[str, Tensor]:
    with np.load(path) as stored:
        return {name: torch.tensor(stored[name], dtype=torch.float64) for name in stored.files}


def load(core: nn.Module, weight: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in weight.items():
            core.get_parameter(name).copy_(value)


def readout(weight: Tensor, bias: Tensor) -> nn.Linear:
    """The references' outputs are narrower than their controllers; ours are as wide."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    load(layer, {"weight": weight, "bias": bias})
    return layer


def steps(core, x, state):
    """Outputs and states after every step; x is [B, T, I]."""
    start = torch.zeros(len(x), dtype=torch.bool)
    for t in range(x.shape[1]):
        y, state = core.step(x[:, t], state, start)
        yield y, state


def csordas(a: dict[str, Tensor]) -> DNC:
    reads, slots = a["dbg/read_head/read_dist"].shape[2:]
    word, inputs = a["dbg/write_head/write_vector"].shape[-1], a["x"].shape[-1]
    first = a["param/controller.model.0.weight"]
    core = DNC(
        inputs,
        slots=slots,
        word_dim=word,
        read_heads=reads,
        hidden_dim=len(first),
        controller="feedforward",
    ).double()
    # Theirs: write key, erase, write vector, free gates, β_w, g_a, g_w | read keys, β_r, modes.
    sizes = [word, word, word, reads, 1, 1, 1, reads * word, reads, 3 * reads]
    key_w, erase, vector, free, beta_w, g_a, g_w, keys_r, beta_r, modes = torch.arange(
        sum(sizes)
    ).split(sizes)
    ours = torch.cat([keys_r, key_w, vector, modes, beta_r, beta_w, erase, free, g_a, g_w])
    load(
        core,
        {
            "input.weight": first[:, :inputs],
            "input.bias": a["param/controller.model.0.bias"],
            "feedback.weight": first[:, inputs:],
            "interface.weight": a["param/controller_to_controls.weight"][ours],
            "interface.bias": a["param/controller_to_controls.bias"][ours],
        },
    )
    out = ("param/controller_to_out.", "param/read_to_out.")
    core.output = readout(
        torch.cat([a[name + "weight"] for name in out], dim=1),
        sum(a[name + "bias"] for name in out),
    )
    return core


@pytest.mark.parametrize("path", DNC_FILES, ids=lambda path: path.stem)
def test_dnc_equals_csordas(path):
    a = arrays(path)
    core = csordas(a)
    exact = {"rtol": 0, "atol": 1e-10}
    for t, (y, state) in enumerate(steps(core, a["x"], core.initial_state(len(a["x"])))):
        for ours, theirs in {
            "usage": "write_head/mem_usages",
            "write_weights": "write_head/write_dist",
            "read_weights": "read_head/read_dist",
            "precedence": "temporal_links/precedence_weights",
        }.items():
            torch.testing.assert_close(getattr(state, ours), a[f"dbg/{theirs}"][:, t], **exact)
        torch.testing.assert_close(y, a["y"][:, t], **exact)


def loudinthecloud(a: dict[str, Tensor]) -> NTM:
    slots, word = a["param/memory.mem_bias"].shape
    inputs, hidden = a["x"].shape[-1], a["param/ntm.controller.lstm_h_bias"].shape[-1]
    core = NTM(
        inputs, slots=slots, word_dim=word, hidden_dim=hidden, memory_init="learned"
    ).double()

    i, f, g, o = torch.arange(4 * hidden).split(hidden)  # torch's order
    gates = torch.cat([i, f, o, g])
    lstm = "param/ntm.controller.lstm."
    both = torch.cat([a[lstm + "weight_ih_l0"][:, inputs:], a[lstm + "weight_hh_l0"]], dim=1)

    def interface(kind: str) -> Tensor:
        read, write = (
            a[f"param/ntm.heads.0.fc_read.{kind}"],
            a[f"param/ntm.heads.1.fc_write.{kind}"],
        )
        k, beta, gate, s, gamma = read.split([word, 1, 1, 3, 1])
        k_w, beta_w, gate_w, s_w, gamma_w, erase, add = write.split([word, 1, 1, 3, 1, word, word])
        # Their convolution is a cross-correlation: s[0] is the shift by +1.
        shifts = [s.flip(0), s_w.flip(0)]
        return torch.cat([k, k_w, add, *shifts, beta, beta_w, gamma, gamma_w, gate, gate_w, erase])

    bias = a[lstm + "bias_ih_l0"] + a[lstm + "bias_hh_l0"]
    first = [a[f"param/ntm.controller.lstm_{which}_bias"].flatten() for which in "hc"]
    load(
        core,
        {
            "input.weight": a[lstm + "weight_ih_l0"][gates, :inputs],
            "input.bias": bias[gates],
            "feedback.weight": both[gates],
            "interface.weight": interface("weight"),
            "interface.bias": interface("bias"),
            "first_memory": a["param/memory.mem_bias"],
            "first_reads": a["param/ntm.read0_bias"],
            "first_hidden": torch.stack(first),
        },
    )
    core.output = readout(a["param/ntm.fc.weight"], a["param/ntm.fc.bias"])
    return core


@pytest.mark.parametrize("path", NTM_FILES, ids=lambda path: path.stem)
def test_ntm_equals_loudinthecloud(path):
    a = arrays(path)
    core = loudinthecloud(a)
    state = core.initial_state(len(a["x"]))
    # Their first weights are zeros, which no softmax reaches; a state is a value, so hand them in.
    state = state._replace(
        read_weights=0 * state.read_weights, write_weights=0 * state.write_weights
    )
    close = {"rtol": 0, "atol": 1e-6}
    for t, (y, after) in enumerate(steps(core, a["x"], state)):
        weights = torch.cat([after.read_weights, after.write_weights], dim=1)
        torch.testing.assert_close(weights, a["head_weights_read_write"][:, t], **close)
        torch.testing.assert_close(after.memory, a["memory"][:, t], **close)
        torch.testing.assert_close(y.sigmoid(), a["y_sigmoid"][:, t], **close)


def test_there_is_something_to_compare_with():
    assert DNC_FILES or NTM_FILES
