"""Graph: a memory whose slots are nodes, with edges for the order in which they were written."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from memrl.memory.kernels.choice import row_memory
from memrl.memory.ops.addressing import COSINE_EPS, content_weights
from memrl.memory.ops.controlled import Memory
from memrl.memory.ops.linkage import update_link, update_precedence
from memrl.memory.ops.messages import pass_messages
from memrl.memory.ops.usage import decayed_usage, first_usage, least_used
from memrl.memory.parts.controlled import ControlledMemory, ControllerState, MemorySizes
from memrl.memory.registry import register

CLIP = 20.0  # bound of the interface vector (as in the DNC)


class GraphState(NamedTuple):
    """State of the graph memory core; at a start all zero but the usage."""

    memory: Tensor  # [B, N, W]  nodes m_i, in [-1, 1]
    link: Tensor  # [B, N, N]  edges L (i, j): node i was written right after node j
    precedence: Tensor  # [B, N]  what was written last; sums to at most 1
    usage: Tensor  # [B, N]  ≥ 0; no gradient
    reads: Tensor  # [B, R, W]
    controller: ControllerState


class Interface(NamedTuple):
    """The parts of the interface vector at one step."""

    keys: Tensor  # [B, R + 1, W]  read keys, then the write key
    word: Tensor  # [B, 1, W]  v in (-1, 1)
    strengths: Tensor  # [B, R + 1]  β ≥ 1
    gates: Tensor  # [B, 2, 1]  g^a: 1 writes a new node, 0 those like the key; g^w: write gate


@final
@register("graph")
class GraphMemory(ControlledMemory[GraphState]):
    """Nodes with temporal edges, read after message passing along the edges.

    w = g^w (g^a w^lu + (1 − g^a) c): the least used node, or those similar to the write key;
    m_i ← m_i + w_i (v − m_i); the edges L are the temporal links of the DNC;
    m̂_i = tanh(m_i + V_b Σ_j L(i, j) m_j + V_f Σ_j L(j, i) m_j), ``rounds`` times over;
    r = Σ_i softmax_i(β cos(k, m̂_i)) m̂_i;  y_t = W_y [h_t, r_t] with an LSTM as controller, which
    sees r_{t-1}.

    After Pham et al., whose memory is a graph of several relations that a controller attends to.
    Their graph is an input. An agent has none, so the edges are the order of writes. Messages do
    not change the nodes: if every step did, old nodes would blur into their neighbours. A key can
    find a node by its content, or by what was written before or after it.

    Args:
        in_dim: width of the input features.
        slots: N, nodes.
        word_dim: W, width of a node.
        read_heads: R.
        rounds: of message passing before a read; messages travel this many edges.
        usage_decay: factor of a node's usage at each env step.
        hidden_dim: width of the controller and of the output.
    """

    paper = "after Pham et al. 2018, Relational dynamic memory networks; links: Graves et al. 2016"

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(2)] = 16,
        word_dim: Annotated[int, Ge(1)] = 16,
        read_heads: Annotated[int, Ge(1)] = 1,
        rounds: Annotated[int, Ge(1)] = 1,
        usage_decay: Annotated[float, Gt(0), Lt(1)] = 0.95,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        split = [(read_heads + 1) * word_dim, word_dim, read_heads + 1, 2]
        sizes = MemorySizes(slots, word_dim, read_heads, hidden_dim)
        super().__init__(in_dim, sizes, interface_dim=sum(split))
        self.rounds, self.usage_decay = rounds, usage_decay
        self.split = split  # in the order of Interface's fields
        self.messages = nn.Linear(2 * word_dim, word_dim, bias=False)  # V_b, V_f
        self._finish()
        with torch.no_grad():
            self.interface.bias[-1] = -1.0  # g^w starts nearly closed (as in the DNC)

    def initial_state(self, batch_size: int) -> GraphState:
        zeros, n, w = self.output.weight.new_zeros, self.slots, self.word_dim
        return GraphState(
            memory=zeros(batch_size, n, w),
            link=zeros(batch_size, n, n),
            precedence=zeros(batch_size, n),
            usage=first_usage(zeros(batch_size, n)),
            reads=zeros(batch_size, self.read_heads, w),
            controller=self._initial_controller(batch_size),
        )

    def _memory(self, like: Tensor) -> Memory | None:
        if self.ablate or self.compiled:
            return None
        sizes = (self.slots, self.word_dim, self.read_heads, self.rounds)
        return row_memory("graph", like, *sizes, CLIP, self.usage_decay, COSINE_EPS)

    def _own_weights(self) -> tuple[Tensor, ...]:
        return (self.messages.weight,)

    def _update(self, x: Tensor, state: GraphState) -> tuple[Tensor, GraphState]:
        controller = self._control(x, state.reads, state.controller)
        ask = self._interface(controller.h)

        like = content_weights(ask.keys[:, -1:], ask.strengths[:, -1:], state.memory).squeeze(1)
        new_gate, write_gate = ask.gates.unbind(dim=1)
        weights = write_gate * torch.lerp(like, least_used(state.usage, 1), new_gate)  # w
        memory = torch.lerp(state.memory, ask.word, weights.unsqueeze(-1))  # m
        link = update_link(state.link, state.precedence, weights)  # L
        precedence = update_precedence(state.precedence, weights)

        nodes = memory  # m̂
        for _ in range(self.rounds):
            nodes = pass_messages(nodes, link, self.messages.weight)
        looks = content_weights(ask.keys[:, :-1], ask.strengths[:, :-1], nodes)
        reads = self._ablated(torch.bmm(looks, nodes))  # r
        usage = decayed_usage(state.usage, looks, weights.unsqueeze(1), self.usage_decay)
        after = GraphState(memory, link, precedence, usage, reads, controller)
        return torch.cat([controller.h, reads.flatten(1)], dim=-1), after

    def _interface(self, hidden: Tensor) -> Interface:
        asked = self.interface(hidden).clamp(-CLIP, CLIP)
        keys, word, strengths, gates = torch.split(asked, self.split, dim=-1)
        return Interface(
            keys=keys.reshape(-1, self.read_heads + 1, self.word_dim),
            word=word.tanh().unsqueeze(1),
            strengths=1 + nn.functional.softplus(strengths),
            gates=gates.sigmoid().unsqueeze(-1),
        )

    def diagnostics(self, state: GraphState) -> dict[str, Tensor]:
        return {
            "memory": state.memory,
            "usage": state.usage,
            "precedence": state.precedence,
            "edges": state.link.sum(dim=(1, 2)),
        }
