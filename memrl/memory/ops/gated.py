"""GRU and LSTM over a whole sequence with resets inside: one matrix product a step.

One matrix product projects all inputs. The gate activations overwrite it, and the forward pass
keeps them. The backward pass first computes, for all steps, every factor that does not depend on
the incoming gradient. Its loop then takes one multiplication and one product a step, and each
weight gradient is one product at the end. Resets select and do not multiply, so that a NaN state
does not survive. Under autocast the products over all steps run in bfloat16; the products inside
the loop and the state do not.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def gru_sequence(
    x: Float[Tensor, "T B I"],
    h0: Float[Tensor, "B H"],
    weight_ih: Float[Tensor, "G I"],
    weight_hh: Float[Tensor, "G H"],
    bias: Float[Tensor, " G"],
    bias_n: Float[Tensor, " H"],
    start: Bool[Tensor, "T B"],
) -> Float[Tensor, "T B H"]:
    """All hidden states of a GRU (r, z, n in torch's order).

    A row with ``start[t]`` begins step t from zeros. The reset gate scales ``bias_n``, not
    ``bias``. Only first derivatives are supported.
    """
    return _GRUSequence.apply(x, h0, weight_ih, weight_hh, bias, bias_n, start)  # type: ignore[no-any-return, no-untyped-call]


def lstm_sequence(
    x: Float[Tensor, "T B I"],
    h0: Float[Tensor, "B H"],
    c0: Float[Tensor, "B H"],
    weight_ih: Float[Tensor, "G I"],
    weight_hh: Float[Tensor, "G H"],
    bias: Float[Tensor, " G"],
    start: Bool[Tensor, "T B"],
) -> tuple[Float[Tensor, "T B H"], Float[Tensor, "B H"]]:
    """All hidden states and the last cell of an LSTM (gates i, f, g, o as in torch).

    A row with ``start[t]`` begins step t from zeros. Only first derivatives are supported.
    """
    return _LSTMSequence.apply(x, h0, c0, weight_ih, weight_hh, bias, start)  # type: ignore[no-any-return, no-untyped-call]


def unbroken(start: Bool[Tensor, "T B"]) -> bool:
    """Whether torch's fused call can compute the sequence: no episode begins after the first step.

    Under autocast it cannot, because it would keep the state in half precision. This synchronises
    with the device.
    """
    if torch.is_autocast_enabled(start.device.type):
        return False
    return not bool(start[1:].any())


def init_gates(weight_ih: Tensor, weight_hh: Tensor) -> None:
    """Initialise each gate: Xavier weights for the input, orthogonal weights for the state."""
    hidden_dim = weight_hh.shape[1]
    for block in weight_ih.detach().chunk(len(weight_ih) // hidden_dim):
        nn.init.xavier_uniform_(block)
    for block in weight_hh.detach().chunk(len(weight_hh) // hidden_dim):
        nn.init.orthogonal_(block)


class _GRUSequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        h0: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor,
        bias_n: Tensor,
        start: Tensor,
    ) -> Tensor:
        (T, B), H = start.shape, h0.shape[1]
        gates = F.linear(x, weight_ih, bias).to(h0.dtype)
        resets = start.any(dim=1).tolist()
        # The state before step t (after its reset) and after it; U_n h + b_n.
        h_in, h_out, hidden_n = (h0.new_empty(T, B, H) for _ in range(3))
        rz, n = gates[..., : 2 * H], gates[..., 2 * H :]
        u_rz, u_n = weight_hh[: 2 * H].t(), weight_hh[2 * H :].t()
        h, zero = h0, h0.new_zeros(())
        for t in range(T):
            if resets[t]:
                h = torch.where(start[t].unsqueeze(1), zero, h, out=h_in[t])
            else:
                h = h_in[t].copy_(h)
            r, z = rz[t].addmm_(h, u_rz).sigmoid_().split_with_sizes([H, H], 1)
            torch.addmm(bias_n, h, u_n, out=hidden_n[t])
            n[t].addcmul_(r, hidden_n[t]).tanh_()
            h = torch.lerp(n[t], h, z, out=h_out[t])  # (1 - z) n + z h
        ctx.save_for_backward(x, h_in, gates, hidden_n, weight_ih, weight_hh, start)
        ctx.resets = resets
        ctx.half = torch.is_autocast_enabled(x.device.type)
        return h_out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, h_in, gates, hidden_n, weight_ih, weight_hh, start = ctx.saved_tensors
        T, B, H = h_in.shape
        r, z, n = gates.split_with_sizes([H, H, H], 2)
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
        dweight = _product(flat.t(), h_in.view(T * B, H), ctx.half)
        dbias_n = through_un.sum((0, 1))
        torch.mul(through_n, dh_out, out=through_un)  # r does not scale the input's part of n
        dx, dweight_ih, dbias = _linear_backward(flat, x, weight_ih, ctx.half)
        return dx, dh, dweight_ih, dweight, dbias, dbias_n, None


class _LSTMSequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        h0: Tensor,
        c0: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor,
        start: Tensor,
    ) -> tuple[Tensor, Tensor]:
        (T, B), H = start.shape, h0.shape[1]
        # All gates use one σ: tanh a = 2 σ(2a) - 1, so the rows of g are doubled.
        scale = h0.new_ones(4 * H, 1)
        scale[2 * H : 3 * H] = 2.0
        gates = F.linear(x, weight_ih * scale, bias * scale[:, 0]).to(h0.dtype)
        resets = start.any(dim=1).tolist()
        h_in, c_in, h_out, tanh_c = (h0.new_empty(T, B, H) for _ in range(4))
        u = (weight_hh * scale).t()
        h, c = h0, c0
        zero = h0.new_zeros(())
        for t in range(T):
            if resets[t]:
                fresh = start[t].unsqueeze(1)
                h = torch.where(fresh, zero, h, out=h_in[t])
                c = torch.where(fresh, zero, c, out=c_in[t])
            else:
                h, c = h_in[t].copy_(h), c_in[t].copy_(c)
            i, f, s, o = gates[t].addmm_(h, u).sigmoid_().view(B, 4, H).unbind(1)
            c = (f * c).addcmul_(i, s, value=2).sub_(i)  # f c + i g
            h = torch.mul(o, torch.tanh(c, out=tanh_c[t]), out=h_out[t])
        ctx.save_for_backward(x, h_in, c_in, gates, tanh_c, weight_ih, weight_hh, start)
        ctx.resets = resets
        ctx.half = torch.is_autocast_enabled(x.device.type)
        return h_out, c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dc: Tensor) -> tuple[Tensor | None, ...]:
        x, h_in, c_in, gates, tanh_c, weight_ih, weight_hh, start = ctx.saved_tensors
        T, B, H = h_in.shape
        i, f, s, o = gates.view(T, B, 4, H).unbind(2)
        through_c = torch.addcmul(dy.new_ones(()), tanh_c, tanh_c, value=-1).mul_(o)  # dc' / dh'
        slopes = torch.addcmul(gates, gates, gates, value=-1)  # σ' of all gates
        dgates = slopes.view(T, B, 4, H)  # then d gates/dc' (o: /dh'), then times dc', dh'
        di, df, dg, do = dgates.unbind(2)
        di.mul_(s.mul(2).sub_(1))
        df.mul_(c_in)
        dg.mul_(i).mul_(4)
        do.mul_(tanh_c)
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
        dweight = _product(flat.t(), h_in.view(T * B, H), ctx.half)
        dx, dweight_ih, dbias = _linear_backward(flat, x, weight_ih, ctx.half)
        return dx, dh, dc, dweight_ih, dweight, dbias, None


def _linear_backward(
    dy: Tensor, x: Tensor, weight: Tensor, half: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, W and b from that of ``W x + b`` over all steps [T · B, G]."""
    dx = _product(dy, weight, half).view_as(x)
    return dx, _product(dy.t(), x.reshape(len(dy), -1), half), dy.sum(0)


def _product(a: Tensor, b: Tensor, half: bool) -> Tensor:
    """The product a b, in bfloat16 under autocast."""
    if not half:
        return a @ b
    return (a.bfloat16() @ b.bfloat16()).to(a.dtype)
