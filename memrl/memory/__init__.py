"""Memories: the contract of a core, the menu, and every core on it (imported, so registered)."""

from memrl.memory.compressive import CompressiveTransformer
from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.dnc import DNC
from memrl.memory.framestack import FrameStack
from memrl.memory.gru import GRU
from memrl.memory.gtrxl import GTrXL
from memrl.memory.lstm import LSTM
from memrl.memory.none import NoMemory
from memrl.memory.ntm import NTM
from memrl.memory.registry import build, core_class, names, register, schema

__all__ = [
    "DNC",
    "GRU",
    "LSTM",
    "NTM",
    "CompressiveTransformer",
    "FrameStack",
    "GTrXL",
    "MemoryCore",
    "NoMemory",
    "Unrolled",
    "build",
    "core_class",
    "names",
    "register",
    "schema",
]
