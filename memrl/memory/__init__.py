"""Memory cores: their contract, their registry, and every core (importing it registers it)."""

from memrl.memory.act import ACT
from memrl.memory.compressive import CompressiveTransformer
from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.deltanet import DeltaNet
from memrl.memory.dmn import DMN
from memrl.memory.dnc import DNC
from memrl.memory.dnd import DND
from memrl.memory.entnet import EntNet
from memrl.memory.eplstm import EpisodicLSTM
from memrl.memory.fart import FART
from memrl.memory.ffm import FFM
from memrl.memory.framestack import FrameStack
from memrl.memory.graph import GraphMemory
from memrl.memory.gru import GRU
from memrl.memory.gtrxl import GTrXL
from memrl.memory.kvmemnn import KeyValueMemNN
from memrl.memory.lru import LRU
from memrl.memory.lrua import LRUA
from memrl.memory.lstm import LSTM
from memrl.memory.mamba import Mamba
from memrl.memory.memn2n import MemN2N
from memrl.memory.memnn import MemNN
from memrl.memory.mingru import MinGRU
from memrl.memory.mlstm import MLSTM
from memrl.memory.none import NoMemory
from memrl.memory.ntm import NTM
from memrl.memory.pointer import PointerMemory
from memrl.memory.registry import build, core_class, names, register, schema
from memrl.memory.rmc import RMC
from memrl.memory.sam import SAM
from memrl.memory.sdnc import SDNC
from memrl.memory.shm import SHM
from memrl.memory.universal import UniversalTransformer

__all__ = [
    "ACT",
    "DMN",
    "DNC",
    "DND",
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
    "EpisodicLSTM",
    "FrameStack",
    "GTrXL",
    "GraphMemory",
    "KeyValueMemNN",
    "Mamba",
    "MemN2N",
    "MemNN",
    "MemoryCore",
    "MinGRU",
    "NoMemory",
    "PointerMemory",
    "UniversalTransformer",
    "Unrolled",
    "build",
    "core_class",
    "names",
    "register",
    "schema",
]
