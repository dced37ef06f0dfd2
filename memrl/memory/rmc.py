"""RMC: memory slots that attend to each other and to the input, with gated updates."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.core import MemoryCore, Unrolled, need_no_grad
from memrl.memory.kernels.choice import kernel_of, no_kernel, runs_kernels
from memrl.memory.ops.relational import attend
from memrl.memory.ops.rmc import Given, TorchSteps, Weights, rmc_sequence
from memrl.memory.registry import register

FORGET_BIAS = 1.0  # added inside the forget gate (the authors' code; the input gate's is 0)
FEW = 16  # slots whose sequences ``rmc_sequence`` computes: its pairs are [N + 1, N, B, F]


class RMCState(NamedTuple):
    """State of the RMC core."""

    memory: Tensor  # [B, N, F]


@final
class Block(nn.Module):
    """The layers of one attention block; all blocks share the MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.norm_qkv = nn.LayerNorm(3 * width)
        self.norm_attended = nn.LayerNorm(width)
        self.norm_thought = nn.LayerNorm(width)

    def project(self, rows: Tensor) -> Tensor:
        """Query, key and value of every row side by side: [..., F] -> [..., 3F]."""
        return self.norm_qkv(self.qkv(rows))  # type: ignore[no-any-return]


@final
@register("rmc")
class RMC(MemoryCore[RMCState]):
    """Relational memory core, as in the authors' code.

    x' = W x; Z = [M; x']; in each block Z = LN(Z + A(Z)), then Z = LN(Z + MLP(Z)), with
    A = softmax(Q Kᵀ / √d) V and [Q, K, V] = LN(W_qkv Z) (eq. 1–2); M̃ = the rows of Z that were M.
    [i, f] = W_i x' + W_m tanh M; M' = σ(f + 1) ∘ M + σ(i) ∘ tanh M̃. There is no output gate (the
    paper: not necessary), and M' is flattened and projected: y = W_y M'.

    Every LayerNorm is over the features of one row, and all slots share their weights: they differ
    only by their initial rows, those of the unit matrix. The last block computes no query for the
    input, because its result would not be used; with one block that is the paper's eq. 2.

    Args:
        in_dim: width of the input features.
        slots: N, rows of the memory; at most F = heads · head_dim, so that initial rows differ.
        heads: attention heads.
        head_dim: width of a head.
        blocks: attention blocks in one step.
        gate: "unit", one for every cell of the memory; "memory", one for every row; or "none":
            M' = M̃.
        hidden_dim: width of the output.

    Raises:
        ValueError: ``slots`` is above F.
    """

    paper = "Santoro et al. 2018, Relational recurrent neural networks"
    first_memory: Tensor  # [N, F]  a buffer

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 4,
        heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] = 16,
        blocks: Annotated[int, Ge(1)] = 1,
        gate: Literal["unit", "memory", "none"] = "unit",
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        width = heads * head_dim
        if slots > width:
            raise ValueError(
                f"slots is {slots}; allowed: at most heads · head_dim, {width}, so that initial "
                "rows differ"
            )
        self.slots, self.heads, self.width = slots, heads, width
        gates = {"unit": 2 * width, "memory": 2, "none": 0}[gate]

        self.input = nn.Linear(in_dim, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.gate_input = nn.Linear(width, gates) if gates else None
        self.gate_memory = nn.Linear(width, gates, bias=False) if gates else None
        self.output = nn.Linear(slots * width, hidden_dim)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        self.register_buffer("first_memory", torch.eye(slots, width))

    def initial_state(self, batch_size: int) -> RMCState:
        return RMCState(self.first_memory.repeat(batch_size, 1, 1))

    def _project(self, x: Tensor) -> Tensor:
        """x', its query, key and value in the first block, and its contribution to the gates."""
        row = self.input(x)
        parts = [row, self.blocks[0].project(row)]  # type: ignore[operator]
        if self.gate_input is not None:
            parts.append(self.gate_input(row))
        return torch.cat(parts, dim=-1)

    def _emit(self, seen: Tensor) -> Tensor:
        return self.output(seen)  # type: ignore[no-any-return]

    @property
    def loops(self) -> bool:
        return True

    def forward(self, x: Tensor, state: RMCState, start: Tensor) -> Unrolled:
        """With one block and few slots a sequence is one operation (``rmc_sequence``)."""
        if not self._by_hand:
            if not self.compiled:
                no_kernel(f"an RMC of several blocks, or of more than {FEW} slots,", x)
            return super().forward(x, state, start)
        weights, row = self._weights(), self.input(x)
        gates = row[..., :0]
        if self.gate_input is not None:
            i, f = self.gate_input.bias.chunk(2)
            gates = F.linear(row, self.gate_input.weight, torch.cat([i, f + FORGET_BIAS]))
        if 0 < len(weights.gate) < 2 * self.width:  # gate=memory: all cells of a row have the same
            gates = gates.repeat_interleave(self.width, dim=-1)
            weights = weights._replace(gate=weights.gate.repeat_interleave(self.width, dim=0))
        qkv = self.blocks[0].project(row)  # type: ignore[operator]
        given = Given(qkv, gates, state.memory, self.first_memory, start, self.heads)
        memory = rmc_sequence(kernel_of(TorchSteps, x), given, weights)
        return Unrolled(self.output(memory.flatten(2)), RMCState(memory[-1]))

    def step(
        self, x: Tensor, state: RMCState, start: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, RMCState]:
        if not (self._by_hand and runs_kernels(x)):
            return super().step(x, state, start, donate=donate)
        need_no_grad(donate)
        y, after, _ = self.forward(x.unsqueeze(0), state, start.unsqueeze(0))
        return y[0], after

    @property
    def _by_hand(self) -> bool:
        return not self.compiled and len(self.blocks) == 1 and self.slots <= FEW

    def _weights(self) -> Weights:
        block, mlp_in, mlp_out = self.blocks[0], self.mlp[0], self.mlp[2]
        assert isinstance(block, Block)
        assert isinstance(mlp_in, nn.Linear)
        assert isinstance(mlp_out, nn.Linear)
        return Weights(
            qkv=block.qkv.weight,
            qkv_bias=block.qkv.bias,
            qkv_gain=block.norm_qkv.weight,
            qkv_shift=block.norm_qkv.bias,
            attended_gain=block.norm_attended.weight,
            attended_shift=block.norm_attended.bias,
            mlp_in=mlp_in.weight,
            mlp_in_bias=mlp_in.bias,
            mlp_out=mlp_out.weight,
            mlp_out_bias=mlp_out.bias,
            thought_gain=block.norm_thought.weight,
            thought_shift=block.norm_thought.bias,
            gate=mlp_in.weight[:0] if self.gate_memory is None else self.gate_memory.weight,
        )

    def _update(self, x: Tensor, state: RMCState) -> tuple[Tensor, RMCState]:
        """From x', its query, key and value and its gates, side by side, to M' [B, N · F]."""
        width = self.width
        parts = [width, 3 * width, x.shape[-1] - 4 * width]
        row, qkv, gates = torch.split(x.unsqueeze(1), parts, dim=-1)
        memory = self._attend(row, qkv, state.memory)  # M̃
        if self.gate_memory is not None:
            i, f = (gates + self.gate_memory(state.memory.tanh())).chunk(2, dim=-1)
            kept = (f + FORGET_BIAS).sigmoid() * state.memory
            memory = kept + i.sigmoid() * memory.tanh()
        return memory.flatten(1), RMCState(memory)

    def _attend(self, row: Tensor, qkv_row: Tensor, memory: Tensor) -> Tensor:
        """M̃ from M and x' with its query, key and value in the first block."""
        rows = torch.cat([memory, row], dim=1)  # Z [B, N + 1, F]
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            if index == 0:
                qkv = torch.cat([block.project(memory), qkv_row], dim=1)
            else:
                qkv = block.project(rows)
            queries, keys, values = qkv.chunk(3, dim=-1)
            if index == len(self.blocks) - 1:
                queries, rows = queries[:, : self.slots], rows[:, : self.slots]
            rows = block.norm_attended(rows + attend(queries, keys, values, self.heads))
            rows = block.norm_thought(rows + self.mlp(rows))
        return rows

    def diagnostics(self, state: RMCState) -> dict[str, Tensor]:
        cosine = F.normalize(state.memory, dim=-1)
        alike = (cosine @ cosine.mT).flatten(1).mean(dim=-1)
        return {"memory": state.memory, "slot_similarity": alike}
