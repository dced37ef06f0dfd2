"""Memories: the contract of a core, the menu, and every core on it (imported, so registered)."""

from memrl.memory.compressive import CompressiveTransformer
from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.deltanet import DeltaNet
from memrl.memory.dnc import DNC
from memrl.memory.entnet import EntNet
from memrl.memory.fart import FART
from memrl.memory.ffm import FFM
from memrl.memory.framestack import FrameStack
from memrl.memory.graph import GraphMemory
from memrl.memory.gru import GRU
from memrl.memory.gtrxl import GTrXL
from memrl.memory.lru import LRU
from memrl.memory.lrua import LRUA
from memrl.memory.lstm import LSTM
from memrl.memory.mingru import MinGRU
from memrl.memory.mlstm import MLSTM
from memrl.memory.none import NoMemory
from memrl.memory.ntm import NTM
from memrl.memory.registry import build, core_class, names, register, schema
from memrl.memory.rmc import RMC
from memrl.memory.sam import SAM
from memrl.memory.sdnc import SDNC
from memrl.memory.shm import SHM

__all__ = [
    "DNC",
    "FART",
    "FFM",
    "GRU",
    "LRU",
    "LRUA",
    "LSTM",
    "MLSTM",
    "NTM",
    "RMC",
    "SAM",
    "SDNC",
    "SHM",
    "CompressiveTransformer",
    "DeltaNet",
    "EntNet",
    "FrameStack",
    "GTrXL",
    "GraphMemory",
    "MemoryCore",
    "MinGRU",
    "NoMemory",
    "Unrolled",
    "build",
    "core_class",
    "names",
    "register",
    "schema",
]
