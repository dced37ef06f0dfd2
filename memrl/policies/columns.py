"""Progressive networks (Rusu et al. 2016): a new column beside frozen ones, which it can read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from memrl.memory.core import MemoryCore, Unrolled, common_horizon
from memrl.nn.encoder import Encoder
from memrl.nn.init import linear
from memrl.nn.normalise import RunningNorm
from memrl.policies.several_cores import SeveralCores
from memrl.rollout.env import Obs


@final
class Lateral(nn.Module):
    """What a layer reads of earlier columns: U relu(V α h), eq. 2 with an adapter.

    h are the activations of K earlier columns, next to each other; α scales those of each.
    """

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((columns,), 0.1))  # α: small, as in the paper
        self.narrow = linear(columns * width, width)  # V
        self.widen = linear(width, width)  # U

    def forward(self, earlier: Sequence[Tensor]) -> Tensor:
        """K activations [*N, W] as one [*N, W]."""
        scaled = [scale * h for scale, h in zip(self.scale.unbind(), earlier, strict=True)]
        return self.widen(self.narrow(torch.cat(scaled, dim=-1)).relu())  # type: ignore[no-any-return]


@final
class ColumnEncoders(Encoder):
    """The encoders of all columns, whose features are concatenated; the last is the new one."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        super().__init__()
        self.columns = nn.ModuleList(encoders)
        self.features_dim = sum(encoder.features_dim for encoder in encoders)

    def forward(self, obs: Obs) -> Tensor:
        return torch.cat([encoder(obs) for encoder in self.columns], dim=-1)

    def update(self, obs: Obs, valid: Tensor) -> None:
        own = self.columns[-1]
        assert isinstance(own, Encoder)
        own.update(obs, valid)

    def standardises(self, key: str) -> RunningNorm | None:
        own = self.columns[-1]
        assert isinstance(own, Encoder)
        return own.standardises(key)


@final
class ColumnMemories(SeveralCores):
    """The memories of all columns; the features are the new one's, which is the last.

    Each memory reads the features of its column's encoder and, through a lateral connection, those
    of earlier columns' encoders. What the heads read is the new memory's output and, through
    another one, the earlier memories' outputs. So column k depends on no later one, and stays as it
    was when its parameters are frozen. No gradient reaches an earlier column.

    Args:
        cores: one for each column, of equal widths.
    """

    def __init__(self, cores: Sequence[MemoryCore[Any]]) -> None:
        own, earlier = cores[-1], len(cores) - 1
        super().__init__(sum(core.in_dim for core in cores), own.out_dim)
        self.columns = nn.ModuleList(cores)
        self.inputs = nn.ModuleList(Lateral(k, own.in_dim) for k in range(1, len(cores)))
        self.heads = Lateral(earlier, own.out_dim)
        self.horizon = common_horizon(cores, max)
        self.ablations = own.ablations

    def step(
        self, x: Tensor, state: tuple[Any, ...], start: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, tuple[Any, ...]]:
        columns = zip(self._cores(), self._inputs(x), state, strict=True)
        ys, states = zip(*(c.step(i, s, start, donate=donate) for c, i, s in columns), strict=True)
        return self._read(ys), states

    def forward(self, x: Tensor, state: tuple[Any, ...], start: Tensor) -> Unrolled:
        columns = zip(self._cores(), self._inputs(x), state, strict=True)
        made = [core(inputs, below, start) for core, inputs, below in columns]
        y = self._read([each.y for each in made])
        return Unrolled(y, tuple(each.state for each in made), made[-1].cost)

    def diagnostics(self, state: tuple[Any, ...]) -> dict[str, Tensor]:
        """Those of the new column's memory."""
        return self._cores()[-1].diagnostics(state[-1])

    def silence(self, part: str | None) -> None:
        self._cores()[-1].silence(part)

    @property
    def loops(self) -> bool:
        return self._cores()[-1].loops

    @property
    def nothing_to_compile(self) -> str:
        return self._cores()[-1].nothing_to_compile

    def _inputs(self, x: Tensor) -> list[Tensor]:
        """What each memory reads of the features of all encoders."""
        *earlier, own = torch.split(x, [core.in_dim for core in self._cores()], dim=-1)
        features = [*(part.detach() for part in earlier), own]
        lateral = [layer(features[:k]) for k, layer in enumerate(self.inputs, 1)]
        return [features[0], *(h + a for h, a in zip(features[1:], lateral, strict=True))]

    def _read(self, ys: Sequence[Tensor]) -> Tensor:
        """What the heads read of all memories' outputs."""
        return ys[-1] + self.heads(ys[:-1])  # type: ignore[no-any-return]

    def _cores(self) -> list[MemoryCore[Any]]:
        return [core for core in self.columns if isinstance(core, MemoryCore)]


def with_columns(
    encoders: Sequence[Encoder], cores: Sequence[MemoryCore[Any]]
) -> tuple[ColumnEncoders, ColumnMemories]:
    """Encoder and memory of a network of several columns, of which all but the last are frozen."""
    encoder, core = ColumnEncoders(encoders), ColumnMemories(cores)
    for part in (*encoders[:-1], *cores[:-1], *core.inputs[:-1]):
        part.requires_grad_(False)
    return encoder, core


def earlier_columns(network: nn.Module) -> list[str]:
    """The names of all that the frozen columns of a network hold; empty if it has none."""
    encoder, core = getattr(network, "encoder", None), getattr(network, "core", None)
    if not isinstance(encoder, ColumnEncoders) or not isinstance(core, ColumnMemories):
        return []
    earlier = range(len(core.columns) - 1)
    frozen = tuple(f"{part}.columns.{k}." for k in earlier for part in ("encoder", "core"))
    lateral = tuple(f"core.inputs.{k}." for k in earlier[:-1])
    return [name for name in network.state_dict() if name.startswith((*frozen, *lateral))]


def count_columns(names: Iterable[str]) -> int:
    """How many columns weights of these names are of; 0 where the network has none."""
    parts = ("encoder.columns.", "core.columns.")
    return len({name.split(".")[2] for name in names if name.startswith(parts)})


def as_columns(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an earlier network under the names that a network of columns has for them.

    A network without columns is column 0. Heads stay behind: a new column has new ones.
    """
    parts = ("encoder.columns.", "core.columns.", "core.inputs.")
    if any(name.startswith(parts[0]) for name in tensors):
        return {name: x for name, x in tensors.items() if name.startswith(parts)}
    return {
        f"{part}.columns.0.{rest}": x
        for part, _, rest, x in ((*name.partition("."), x) for name, x in tensors.items())
        if part in ("encoder", "core")
    }
