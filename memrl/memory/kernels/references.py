"""The kernels, by the class in torch whose results they compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from memrl.memory.kernels.gru import RowGRU
from memrl.memory.kernels.lstm import RowController, RowLSTM
from memrl.memory.kernels.rmc_rows import RowSteps
from memrl.memory.ops.gru import GRUGates
from memrl.memory.ops.lstm import ControllerGates, LSTMGates
from memrl.memory.ops.rmc import TorchSteps

KERNELS: Final[Mapping[type[Any], type[Any]]] = {
    GRUGates: RowGRU,
    LSTMGates: RowLSTM,
    ControllerGates: RowController,
    TorchSteps: RowSteps,
}
