"""The kernels of cells, by what they compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from memrl.memory.kernels.gru import RowGRU
from memrl.memory.kernels.lstm import RowController, RowLSTM
from memrl.memory.ops.gated import Gates
from memrl.memory.ops.gru import GRUGates
from memrl.memory.ops.lstm import ControllerGates, LSTMGates

KERNELS: Final[Mapping[type[Gates], type[Gates]]] = {
    GRUGates: RowGRU,
    LSTMGates: RowLSTM,
    ControllerGates: RowController,
}
