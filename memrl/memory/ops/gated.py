"""GRU and LSTM over a whole sequence with resets inside: one product and one fused gate a step.

The input products of all T steps are one matrix product, made by the caller. Forward keeps the gate
activations; backward folds every factor that does not depend on the incoming gradient into arrays
over [T, B, ...] first, so that its loop is a multiplication and a product a step, and each weight
gradient is one product at the end. Rows are reset by selection: a NaN state does not survive.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def gru_sequence(
    gates_x: Float[Tensor, "T B G"],
    h0: Float[Tensor, "B H"],
    weight_hh: Float[Tensor, "G H"],
    bias_n: Float[Tensor, " H"],
    start: Bool[Tensor, "T B"],
) -> Float[Tensor, "T B H"]:
    """All hidden states of a GRU (r, z, n in torch's order) from the input's share of its gates.

    A row with ``start[t]`` begins step t from zeros. Biases belong into ``gates_x``, but for
    ``bias_n``, which the reset gate scales. First derivatives only.
    """
    return _GRUSequence.apply(gates_x, h0, weight_hh, bias_n, start)  # type: ignore[no-any-return, no-untyped-call]


def lstm_sequence(
    gates_x: Float[Tensor, "T B G"],
    h0: Float[Tensor, "B H"],
    c0: Float[Tensor, "B H"],
    weight_hh: Float[Tensor, "G H"],
    start: Bool[Tensor, "T B"],
) -> tuple[Float[Tensor, "T B H"], Float[Tensor, "B H"]]:
    """All hidden states and the last cell of an LSTM (gates i, f, g, o as in torch).

    A row with ``start[t]`` begins step t from zeros. Biases belong into ``gates_x``.
    First derivatives only.
    """
    return _LSTMSequence.apply(gates_x, h0, c0, weight_hh, start)  # type: ignore[no-any-return, no-untyped-call]


def unbroken(start: Bool[Tensor, "T B"]) -> bool:
    """Does no episode begin after the first step, and may the library's fused calls be used?

    Under autocast they may not: they would carry the state in half precision. Waits for the device.
    """
    if torch.is_autocast_enabled(start.device.type):
        return False
    return not bool(start[1:].any())


def init_gates(weight_ih: Tensor, weight_hh: Tensor) -> None:
    """Xavier for what reads the input, orthogonal for what reads the state, gate by gate."""
    hidden_dim = weight_hh.shape[1]
    for block in weight_ih.detach().chunk(len(weight_ih) // hidden_dim):
        nn.init.xavier_uniform_(block)
    for block in weight_hh.detach().chunk(len(weight_hh) // hidden_dim):
        nn.init.orthogonal_(block)


class _GRUSequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gates_x: Tensor, h0: Tensor, weight_hh: Tensor, bias_n: Tensor, start: Tensor
    ) -> Tensor:
        T, B, G = gates_x.shape
        H = G // 3
        resets = start.any(dim=1).tolist()
        new = gates_x.new_empty
        h_in, h_out = new(T, B, H), new(T, B, H)  # what step t read after its reset, and wrote
        rz, hidden_n, n = new(T, B, 2 * H), new(T, B, H), new(T, B, H)  # hidden_n = U_n h + b_n
        x_rz, x_n = gates_x[..., : 2 * H], gates_x[..., 2 * H :]
        u_rz, u_n = weight_hh[: 2 * H].t(), weight_hh[2 * H :].t()
        h, zero = h0, gates_x.new_zeros(())
        for t in range(T):
            if resets[t]:
                h = torch.where(start[t].unsqueeze(1), zero, h, out=h_in[t])
            else:
                h = h_in[t].copy_(h)
            r, z = torch.addmm(x_rz[t], h, u_rz, out=rz[t]).sigmoid_().split_with_sizes([H, H], 1)
            torch.addmm(bias_n, h, u_n, out=hidden_n[t])
            torch.addcmul(x_n[t], r, hidden_n[t], out=n[t]).tanh_()
            h = torch.lerp(n[t], h, z, out=h_out[t])  # (1 - z) n + z h
        ctx.save_for_backward(h_in, rz, hidden_n, n, weight_hh, start)
        ctx.resets = resets
        ctx.half = torch.is_autocast_enabled(gates_x.device.type)
        return h_out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        h_in, rz, hidden_n, n, weight_hh, start = ctx.saved_tensors
        T, B, H = n.shape
        r, z = rz[..., :H], rz[..., H:]
        dgates = dy.new_empty(T, B, 3, H)  # first d(U h)/dh', then times dh': d loss / d(U h)
        through_n = (1 - z).mul_(torch.addcmul(dy.new_ones(()), n, n, value=-1))  # dn_pre / dh'
        through_r, through_z, through_un = dgates.unbind(2)
        torch.mul(through_n, r, out=through_un)
        torch.mul(through_un, hidden_n, out=through_r).mul_(1 - r)
        torch.sub(h_in, n, out=through_z).mul_(z).mul_(1 - z)
        dh_out = dy.clone()
        dh = torch.zeros_like(dy[0])
        for t in range(T - 1, -1, -1):
            now = dh_out[t].add_(dh)
            dgates[t].mul_(now.unsqueeze(1))
            dh = torch.addmm(now * z[t], dgates[t].view(B, 3 * H), weight_hh)
            if ctx.resets[t]:
                dh.masked_fill_(start[t].unsqueeze(1), 0)
        flat = dgates.view(T * B, 3 * H)
        dweight = _product(flat, h_in.view(T * B, H), ctx.half)
        dbias_n = through_un.sum((0, 1))
        torch.mul(through_n, dh_out, out=through_un)  # the input enters n beside r ∘ (U_n h)
        return dgates.view(T, B, 3 * H), dh, dweight, dbias_n, None


class _LSTMSequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gates_x: Tensor, h0: Tensor, c0: Tensor, weight_hh: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        T, B, G = gates_x.shape
        H = G // 4
        resets = start.any(dim=1).tolist()
        h_in, c_in = gates_x.new_empty(T, B, H), gates_x.new_empty(T, B, H)
        h_out, tanh_c = gates_x.new_empty(T, B, H), gates_x.new_empty(T, B, H)
        gates = gates_x.new_empty(T, B, G)
        u = weight_hh.t()
        h, c = h0, c0
        zero = gates_x.new_zeros(())
        for t in range(T):
            if resets[t]:
                fresh = start[t].unsqueeze(1)
                h = torch.where(fresh, zero, h, out=h_in[t])
                c = torch.where(fresh, zero, c, out=c_in[t])
            else:
                h, c = h_in[t].copy_(h), c_in[t].copy_(c)
            torch.addmm(gates_x[t], h, u, out=gates[t])
            gate = gates[t]
            gate[:, : 2 * H].sigmoid_()
            gate[:, 2 * H : 3 * H].tanh_()
            gate[:, 3 * H :].sigmoid_()
            c = torch.addcmul(gate[:, H : 2 * H] * c, gate[:, :H], gate[:, 2 * H : 3 * H])
            torch.tanh(c, out=tanh_c[t])
            h = torch.mul(gate[:, 3 * H :], tanh_c[t], out=h_out[t])
        ctx.save_for_backward(h_in, c_in, gates, tanh_c, weight_hh, start)
        ctx.resets = resets
        ctx.half = torch.is_autocast_enabled(gates_x.device.type)
        return h_out, c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dc: Tensor) -> tuple[Tensor | None, ...]:
        h_in, c_in, gates, tanh_c, weight_hh, start = ctx.saved_tensors
        T, B, H = h_in.shape
        i, f, g, o = gates.view(T, B, 4, H).unbind(2)
        one = dy.new_ones(())
        through_c = torch.addcmul(one, tanh_c, tanh_c, value=-1).mul_(o)  # dc' / dh'
        dgates = torch.empty_like(gates).view(T, B, 4, H)  # first d gates/dc' (o: /dh'), then times
        di, df, dg, do = dgates.unbind(2)
        torch.mul(g, i, out=di).mul_(1 - i)
        torch.mul(c_in, f, out=df).mul_(1 - f)
        torch.addcmul(one, g, g, value=-1, out=dg).mul_(i)
        torch.mul(tanh_c, o, out=do).mul_(1 - o)
        dh = torch.zeros_like(h_in[0])
        for t in range(T - 1, -1, -1):
            dh = dh.add_(dy[t])
            dc = torch.addcmul(dc, dh, through_c[t])
            dgates[t, :, :3].mul_(dc.unsqueeze(1))
            do[t].mul_(dh)
            dh = dgates[t].view(B, 4 * H) @ weight_hh
            dc = dc * f[t]
            if ctx.resets[t]:
                dh.masked_fill_(start[t].unsqueeze(1), 0)
                dc.masked_fill_(start[t].unsqueeze(1), 0)
        flat = dgates.view(T * B, 4 * H)
        dweight = _product(flat, h_in.view(T * B, H), ctx.half)
        return dgates.view(T, B, 4 * H), dh, dc, dweight, None


def _product(a: Tensor, b: Tensor, half: bool) -> Tensor:
    """aᵀ b over all steps, in bfloat16 where autocast asked for it."""
    if not half:
        return a.t() @ b
    return (a.bfloat16().t() @ b.bfloat16()).to(a.dtype)
