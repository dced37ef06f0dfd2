"""What the layers of a transformer attend to as it acts."""

from __future__ import annotations

from functools import partial
from typing import Final, final

from torch import Tensor, nn

from memrl.memory.parts.attention import RelativeAttention

ATTENTION: Final = "attention"


@final
class Attention:
    """Keeps the weights of the last step of every attention over the past; ``close`` ends it.

    Args:
        network: the one that acts.
    """

    def __init__(self, network: nn.Module) -> None:
        modules = network.modules()
        self._layers = [module for module in modules if isinstance(module, RelativeAttention)]
        self._last: dict[str, Tensor] = {}
        for number, layer in enumerate(self._layers):
            layer.watch = partial(self._keep, f"{number}.{ATTENTION}")

    def weights(self) -> dict[str, Tensor]:
        """Of each layer [B, H, S]: entry k is the weight of what was k steps ago."""
        return dict(self._last)

    def close(self) -> None:
        """Let the layers go on unwatched."""
        for layer in self._layers:
            layer.watch = None

    def _keep(self, name: str, weights: Tensor) -> None:
        self._last[name] = weights.flip(-1)
