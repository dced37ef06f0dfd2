"""Stable-Baselines3's features extractors as encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, preprocess_obs
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from torch import Tensor

from memrl.agents.sb3.vec_env import ObservationConverter
from memrl.nn.encoder import Encoder
from memrl.rollout.env import Obs


@final
class ExtractedFeatures(Encoder):
    """An extractor behind SB3's own preprocessing: images [C, H, W] and scaled, counts one-hot.

    Raises:
        ValueError: the extractor does not take the observation space or its options.
    """

    def __init__(
        self,
        cls: type[Any],
        converter: ObservationConverter,
        kwargs: Mapping[str, Any],
        *,
        normalize_images: bool,
    ) -> None:
        super().__init__()
        self.normalize_images = normalize_images
        self.single = not isinstance(converter.given, spaces.Dict)
        if not self.single and cls in (FlattenExtractor, NatureCNN):
            raise ValueError(
                f"{cls.__name__} does not take a Dict of observations, allowed: CombinedExtractor "
                "(MultiInputLstmPolicy), or one of your own"
            )
        parts = {key: _as_sb3(space) for key, space in converter.space.spaces.items()}
        for key, leaf in converter.leaves.items():
            if not _is_image(converter.space[key]):
                parts[key] = leaf.given
        self.spaces = parts
        space = next(iter(parts.values())) if self.single else spaces.Dict(parts)
        if not normalize_images and issubclass(cls, NatureCNN | CombinedExtractor):
            kwargs = {"normalized_image": True, **kwargs}  # takes floats as images, as in SB3
        try:
            self.extractor = cls(space, **kwargs)
        except (TypeError, AssertionError) as error:
            raise ValueError(_refusal(cls, error, normalize_images)) from error
        self.features_dim = int(self.extractor.features_dim)

    def forward(self, obs: Obs) -> Tensor:
        first = next(iter(self.spaces))
        axes = obs[first].dim() - len(_canonical_shape(self.spaces[first]))
        batch = obs[first].shape[:axes]
        parts = {key: self._part(key, obs[key].flatten(0, axes - 1)) for key in self.spaces}
        features: Tensor = self.extractor(parts[first] if self.single else parts)
        return features.unflatten(0, batch)  # type: ignore[no-untyped-call, no-any-return]

    def _part(self, key: str, values: Tensor) -> Tensor:
        """A batch [N, ...] of one entry, as SB3's policies prepare it."""
        space = self.spaces[key]
        if _is_image(space):
            values = values.movedim(-1, 1)
        else:
            values = values.reshape(len(values), *(space.shape or ()))
        ready = preprocess_obs(values, space, normalize_images=self.normalize_images)
        assert isinstance(ready, Tensor)
        return ready.to(self._dtype())

    def _dtype(self) -> torch.dtype:
        return next((p.dtype for p in self.extractor.parameters()), torch.get_default_dtype())


def _refusal(cls: type[Any], error: Exception, normalize_images: bool) -> str:
    """Why an extractor was not built, in one sentence; SB3's own has a paragraph of links."""
    first = str(error).splitlines()[0]
    reason = f"{cls.__name__} does not take the observation space or its options: {first}"
    if normalize_images and issubclass(cls, NatureCNN) and isinstance(error, AssertionError):
        reason += "; images that are floats [C, H, W] need normalize_images=False"
    return reason


def _is_image(space: spaces.Space[Any]) -> bool:
    """Is this a uint8 image, in either order of its axes?"""
    return bool(is_image_space(space))


def _as_sb3(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """The space with images channel-first, as ``VecTransposeImage`` makes them."""
    if not _is_image(space):
        return space
    *sides, channels = space.shape or ()
    return spaces.Box(0, 255, (channels, *sides), np.uint8)


def _canonical_shape(space: spaces.Space[Any]) -> tuple[int, ...]:
    """The shape of one observation as memrl has it."""
    if isinstance(space, spaces.Discrete):
        return ()
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        return (int(np.prod(space.shape)),)
    return tuple(space.shape or (1,))
