"""Networks of learned bonuses, their training, and the normalisation of bonuses."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from gymnasium import spaces
from torch import Tensor, nn

from memrl.checkpoint.optimizer import load_moments, moments
from memrl.distributed.collectives import mean_gradients, mean_over_ranks
from memrl.nn.init import linear
from memrl.nn.normalise import RunningNorm
from memrl.nn.observation import ObsEncoder
from memrl.rollout.env import Obs

HIDDEN_DIM = 128
CELL_DIM = 8


@final
class Embedding(nn.Module):
    """The entries ``keys`` of an observation to features [*N, feature_dim].

    It has an encoder, ``layers`` hidden layers and a linear layer. Vectors are standardised by the
    statistics of ``encoder.update``.
    """

    def __init__(
        self, space: spaces.Dict, keys: Sequence[str], feature_dim: int, layers: int = 0
    ) -> None:
        super().__init__()
        entries = spaces.Dict({key: space[key] for key in keys})
        self.encoder = ObsEncoder(
            entries,
            encoder_dim=HIDDEN_DIM,
            cell_dim=CELL_DIM,
            discrete_dim=HIDDEN_DIM,
            normalise=True,
        )
        width, hidden = self.encoder.features_dim, list[nn.Module]()
        for _ in range(layers):
            hidden += [linear(width, HIDDEN_DIM), nn.ReLU()]
            width = HIDDEN_DIM
        self.head = nn.Sequential(*hidden, linear(width, feature_dim, gain=1.0))

    def forward(self, obs: Obs) -> Tensor:
        return self.head(self.encoder(obs))  # type: ignore[no-any-return]


@final
class Trainer:
    """Trains a module by Adam: ``updates`` steps for each rollout, over shuffled minibatches."""

    def __init__(self, module: nn.Module, *, lr: float, updates: int, seed: int) -> None:
        self.module, self.updates = module, updates
        self.optimizer = torch.optim.Adam(module.parameters(), lr=lr)
        self.shuffler = torch.Generator().manual_seed(seed)

    def train(self, loss_of: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """Minimise ``loss_of`` minibatches of ``rows`` [n]; the mean loss, NaN without rows.

        A minibatch is the rows of all ranks; ``loss_of`` is a mean over those of this one.

        Raises:
            FloatingPointError: a loss is not finite; it changes no parameter.
        """
        order = torch.randperm(len(rows), generator=self.shuffler).to(rows.device)
        losses = []
        for share in rows[order].tensor_split(self.updates):
            size = float(mean_over_ranks(torch.tensor(float(len(share)), device=rows.device)))
            if not size:
                continue
            self.optimizer.zero_grad(set_to_none=True)
            loss = torch.zeros((), device=rows.device)
            if len(share):
                loss = loss_of(share) * (len(share) / size)
                loss.backward()  # type: ignore[no-untyped-call]
            mean = mean_gradients(self.module.parameters(), loss)
            if not math.isfinite(float(mean)):
                raise FloatingPointError("the bonus loss became NaN or infinite")
            self.optimizer.step()
            losses.append(mean)
        return torch.stack(losses).mean() if losses else torch.tensor(math.nan)

    def state_dict(self) -> dict[str, Any]:
        """Parameters, optimiser and generator."""
        return {
            "module": dict(self.module.state_dict()),
            "optimizer": moments(self.optimizer),
            "shuffler": self.shuffler.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``.

        Raises:
            ValueError: the state belongs to another module; nothing is changed.
        """
        try:
            copy.deepcopy(self.module).load_state_dict(state["module"])  # it would load what fits
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"the saved bonus does not fit the configured one: {reason}") from None
        self.module.load_state_dict(state["module"])
        load_moments(self.optimizer, state["optimizer"])
        self.shuffler.set_state(state["shuffler"].cpu())


@final
class RunningStd:
    """The running standard deviation of bonuses, which normalises a learned bonus.

    As in random network distillation (Burda et al. 2019) it covers all bonuses so far, so that
    normalisation does not undo their decay. Unlike there it covers single bonuses, not returns.
    """

    def __init__(self, device: torch.device) -> None:
        self.norm = RunningNorm(1, clip=None, center=False).to(device)

    def divide(self, paid: Tensor, valid: Tensor) -> Tensor:
        """Add the valid bonuses [T, B] to the statistics, then divide all by their std.

        The std is 1 until two bonuses differ.
        """
        self.norm.update(paid.reshape(-1, 1), valid.flatten())
        return paid / self.value.to(paid.dtype)

    @property
    def value(self) -> Tensor:
        """The standard deviation, a float64 scalar."""
        std = self.norm.var.sqrt().squeeze()
        return torch.where(std > 0, std, 1.0)
