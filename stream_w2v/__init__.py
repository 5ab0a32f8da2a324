"""Word vectors from text that never stops arriving."""

from stream_w2v.checkpoint import Checkpoint, Checkpoints, load_checkpoint
from stream_w2v.config import Config
from stream_w2v.errors import StreamW2VError
from stream_w2v.model import Word2Vec
from stream_w2v.noise import NoiseDistribution
from stream_w2v.stream import Batch, Positions, Sink, Source
from stream_w2v.trainer import Totals, Trainer
from stream_w2v.vectors import KeyedVectors
from stream_w2v.vocabulary import Vocabulary

__all__ = [
    "Batch",
    "Checkpoint",
    "Checkpoints",
    "Config",
    "KeyedVectors",
    "NoiseDistribution",
    "Positions",
    "Sink",
    "Source",
    "StreamW2VError",
    "Totals",
    "Trainer",
    "Vocabulary",
    "Word2Vec",
    "load_checkpoint",
]
