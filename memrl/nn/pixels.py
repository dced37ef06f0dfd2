"""Encode an image: three strided convolutions, then one hidden layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memrl.nn.init import linear


class PixelEncoder(nn.Module):
    """An image [*N, H, W, C], uint8 or float, to features [*N, encoder_dim]; H and W from 8."""

    def __init__(self, shape: tuple[int, ...], encoder_dim: int) -> None:
        super().__init__()
        height, width, channels = shape
        self.out_dim = encoder_dim
        self.brightest = 255.0  # of a uint8 image, which is divided by it
        layers: list[nn.Module] = []
        for before, after in ((channels, 16), (16, 32), (32, 32)):
            convolution = nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1)
            nn.init.orthogonal_(convolution.weight, 2**0.5)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.mix = linear(32 * (height // 8) * (width // 8), encoder_dim)

    def forward(self, image: Tensor) -> Tensor:
        batch = image.shape[:-3]
        planes = image.reshape(-1, *image.shape[-3:]).movedim(-1, 1)
        scale = self.brightest if image.dtype == torch.uint8 else 1.0
        planes = planes.to(self.mix.weight.dtype) / scale
        features = self.mix(self.convolutions(planes).flatten(1)).relu()
        return features.view(*batch, self.out_dim)  # type: ignore[no-any-return]
