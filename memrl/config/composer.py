"""Hydra's composition as a function: Hydra itself keeps what it composes in a global."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from typing import Final

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

CONFIGS: Final = "memrl.configs"
_ONE_AT_A_TIME: Final = RLock()


def hydra_compose(root: str, words: Sequence[str], *, settings: bool = False) -> DictConfig:
    """What Hydra makes of a root config and overrides; also in threads and in a Hydra app.

    Args:
        root: the name of the root config.
        words: the overrides.
        settings: whether Hydra's own are among it, as ``hydra``.

    Raises:
        HydraException: an override that Hydra refuses.
        OmegaConfBaseException: one that OmegaConf refuses.
    """
    with _ONE_AT_A_TIME:
        hydra = GlobalHydra.instance()
        outer, hydra.hydra = hydra.hydra, None
        try:
            with initialize_config_module(CONFIGS, version_base="1.3"):
                return compose(root, [*words], return_hydra_config=settings)
        finally:
            GlobalHydra.instance().hydra = outer
