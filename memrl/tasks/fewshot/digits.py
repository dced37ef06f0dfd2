"""Handwritten digits of 8 × 8 pixels, from scikit-learn."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import torch
from torch import Tensor

from memrl.errors import install_command

PIXELS: Final = 64  # 8 × 8, row by row
TRAINED: Final = (0, 1, 2, 3, 4)
HELD_OUT: Final = (5, 6, 7, 8, 9)
_WHITEST: Final = 16  # the largest value of a pixel


class Digits(NamedTuple):
    """Images of several digits, in the order of the data set."""

    images: Tensor  # [D, M, 64]  0 … 1; M: images of the most frequent digit
    counts: Tensor  # [D]  images of each digit; what follows them is zero


@cache
def load(digits: tuple[int, ...]) -> Digits:
    """The images of some digits, 174 to 183 of each.

    Raises:
        ValueError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        command = install_command("fewshot")
        raise ValueError(
            f"task=fewshot reads the digits of scikit-learn, which is not installed: {command}"
        ) from None
    images, labels = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    images = (images / _WHITEST).float()
    by_digit = [images[labels == digit] for digit in digits]
    counts = torch.tensor([len(part) for part in by_digit])
    return Digits(torch.nn.utils.rnn.pad_sequence(by_digit, batch_first=True), counts)
