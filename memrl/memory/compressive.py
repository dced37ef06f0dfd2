"""Compressive Transformer: a window of recent steps, and compressed slots of c older steps each."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.ops.attention import push, skew, window
from memrl.memory.ops.compressed import Slots, find_slots, kept_slots
from memrl.memory.parts.transformer import PostNormLayer
from memrl.memory.parts.window import WindowMemory
from memrl.memory.registry import register


class CompressiveState(NamedTuple):
    """State of the Compressive Transformer core."""

    memory: Tensor  # [B, L, M, D]  the last M inputs of every layer, oldest first
    compressed: Tensor  # [B, L, C, D]  each slot compresses c older inputs; oldest first
    age: Tensor  # [B]  steps of the episode so far; modulo c once every slot is filled
    cost: Tensor  # [B]  attention-reconstruction loss of this step's compression


class Layer(PostNormLayer):
    """Transformer-XL's layer, and the compression of its old inputs."""

    def __init__(self, dim: int, *, heads: int, head_dim: int, mlp_dim: int, rate: int) -> None:
        super().__init__(dim, heads=heads, head_dim=head_dim, mlp_dim=mlp_dim)
        self.compress = nn.Linear(rate * dim, dim)  # f_c: a convolution, kernel = stride = c
        self.rate = rate

    def forward(
        self, x: Tensor, past: Tensor, seen: Tensor, groups: Tensor, slots: Slots
    ) -> Tensor:
        """Steps x [B, T, D] after M past inputs and the C + T compressed ``groups``."""
        attention, places = self.attention, slots.visible.shape[2] - x.shape[1]
        everything, nonfinite = attention.seen(groups, past, x)
        queries = attention.queries(everything[:, -x.shape[1] :])
        positions = attention.by_position(queries, past.shape[1] + places)  # places M + C … 0
        column = (places - slots.place[:, :-1]).clamp(0, places - 1).unsqueeze(1)
        of_groups = positions.gather(-1, column.expand(-1, positions.shape[1], -1, -1))
        logits = torch.cat([of_groups, skew(positions[..., places:])], dim=-1)
        visible = torch.cat([slots.visible[:, :-1], seen], dim=-1)
        logits = logits + attention.by_content(queries, everything)
        return self._join(x, attention.read(logits, visible, everything, nonfinite))

    def compressing(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """For every step, f_c of the c oldest inputs of the window [B, T, D], and its loss [B, T].

        The loss is ‖attn(h, old) − attn(h, f_c(old))‖² by content, averaged over features.
        Attention over the single new slot is its value. Only f_c gets a gradient, not h, the old
        inputs or the attention's weights.
        """
        queries, weight = self.attention.query.weight, self.attention.key_value.weight
        heads, length = self.attention.heads, x.shape[1]
        old = torch.cat([past, x], dim=1).detach().unfold(1, self.rate, 1)[:, :length].mT
        new = self.compress(old.flatten(2))  # [B, T, D]
        q = F.linear(x.detach(), queries.detach()).reshape(
            *x.shape[:2], heads, 1, -1
        )  # [B, T, H, 1, K]
        both = F.linear(old, weight.detach())  # [B, T, c, 2 H K]
        k, v = both.reshape(*both.shape[:3], 2 * heads, -1).chunk(2, dim=3)
        weights = (q @ k.permute(0, 1, 3, 4, 2) * q.shape[-1] ** -0.5).softmax(dim=-1)
        want = (weights @ v.transpose(2, 3)).flatten(2)  # [B, T, H K]
        got = F.linear(new, weight.detach().chunk(2)[1])
        return new, (got - want).square().mean(dim=-1)


@final
@register("compressive")
class CompressiveTransformer(WindowMemory[CompressiveState]):
    """Transformer-XL that compresses the oldest part of its memory by a convolution.

    A step attends to [compressed; memory; itself], with positions counted through all three. The
    paper compresses a segment at a time. Here every c-th step compresses the c oldest inputs of the
    memory. The first of them leaves the memory at this step; until the last has left, a step sees
    them both ways. The range is M + c C steps a layer.

    The convolution learns from the attention-reconstruction loss alone (``cost``): the policy's
    gradient does not pass through compressed slots. It passes into the memory, within a chunk.

    Args:
        in_dim: width of the input features.
        layers: L; a gradient reaches back L M steps.
        memory_len: M, past steps that a layer sees uncompressed.
        compressed_len: C, compressed slots.
        rate: c, steps in a slot; at most M.
        heads: of the attention.
        head_dim: width of a head.
        mlp_dim: hidden width of the position-wise network.
        hidden_dim: D, width of the stream and of the output.

    Raises:
        ValueError: ``rate`` is above ``memory_len``.
    """

    paper = "Rae et al. 2020, Compressive Transformers for Long-Range Sequence Modelling"

    def __init__(
        self,
        in_dim: int,
        *,
        layers: Annotated[int, Ge(1)] = 2,
        memory_len: Annotated[int, Ge(1)] = 32,
        compressed_len: Annotated[int, Ge(1)] = 16,
        rate: Annotated[int, Ge(1)] = 4,
        heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] = 32,
        mlp_dim: Annotated[int, Ge(1)] = 256,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        if rate > memory_len:
            raise ValueError(f"rate is {rate}; allowed: at most memory_len, {memory_len}")
        self.memory_len, self.compressed_len, self.rate = memory_len, compressed_len, rate
        self.horizon = layers * memory_len
        self.embed = nn.Linear(in_dim, hidden_dim)
        self.layers = nn.ModuleList(
            Layer(hidden_dim, heads=heads, head_dim=head_dim, mlp_dim=mlp_dim, rate=rate)
            for _ in range(layers)
        )

    def initial_state(self, batch_size: int) -> CompressiveState:
        zeros, layers, dim = self.embed.weight.new_zeros, len(self.layers), self.out_dim
        return CompressiveState(
            memory=zeros(batch_size, layers, self.memory_len, dim),
            compressed=zeros(batch_size, layers, self.compressed_len, dim),
            age=zeros(batch_size),
            cost=zeros(batch_size),
        )

    def _project(self, x: Tensor) -> Tensor:
        return self.embed(x)  # type: ignore[no-any-return]

    def _attend(
        self, x: Tensor, state: CompressiveState, age: Tensor
    ) -> tuple[Tensor, CompressiveState, Tensor]:
        seen, next_age = window(age, self.memory_len), age[:, -1] + 1
        ages_and_next = torch.cat([age, next_age.unsqueeze(1)], dim=1)
        slots = find_slots(
            ages_and_next, state.age, self.memory_len, self.rate, self.compressed_len
        )
        cost = torch.zeros_like(age)
        memory, compressed = [], []
        layers = (layer for layer in self.layers if isinstance(layer, Layer))
        parts = zip(layers, state.memory.unbind(1), state.compressed.unbind(1), strict=True)
        for layer, past, old in parts:
            new, loss = layer.compressing(x, past)
            groups = torch.cat([old, new], dim=1).detach()
            cost = cost + torch.where(slots.due, loss, 0)
            memory.append(push(past, x, next_age))
            compressed.append(kept_slots(groups, slots, self.compressed_len))
            x = layer(x, past, seen, groups, slots)
        full = self.memory_len + self.rate * self.compressed_len
        after = CompressiveState(
            memory=torch.stack(memory, dim=1),
            compressed=torch.stack(compressed, dim=1),
            age=torch.where(next_age < full, next_age, full + (next_age - full) % self.rate),
            cost=cost[:, -1],
        )
        return x, after, cost

    def diagnostics(self, state: CompressiveState) -> dict[str, Tensor]:
        return {"memory": state.memory[:, -1], "compressed": state.compressed[:, -1]}
