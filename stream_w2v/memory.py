"""How much memory a model takes, now and at most."""

from __future__ import annotations

from stream_w2v.config import Config
from stream_w2v.contexts import CONTEXT_BYTES, context_buckets
from stream_w2v.kernel.contexts import WAYS
from stream_w2v.kernel.lookup import ROW
from stream_w2v.kernel.memory import stride_of
from stream_w2v.model import Word2Vec
from stream_w2v.replay import ring_tokens
from stream_w2v.vocabulary import candidate_slots, table_slots, text_bytes

_FREE, _SLOT, _CANDIDATE = 4, 8, 8 + 4
_NOISE = 8 + 8 + 4  # an entry of the table, its share, its place in the order
_WINDOWS = 4 + 4


def memory_now(model: Word2Vec) -> int:
    """Return the bytes that a model's arrays take now."""
    arrays = model.vocabulary.arrays
    return (
        _row_bytes(model.config) * model.vocabulary.rows_end
        + arrays.table.nbytes
        + arrays.words.nbytes
        + arrays.candidate_hashes.nbytes
        + arrays.candidate_counts.nbytes
        + _kept_bytes(model.config)
    )


def memory_bound(config: Config) -> int:
    """Return the bytes that the arrays of a model with this config never exceed.

    While an array grows it exists twice for a moment. What does not depend on the stream comes on
    top: the interpreter, the compiled code, the batches that are read ahead, what each worker has
    to itself; and so does a snapshot while there is one, twice if it is refreshed from a replay,
    and a copy of the whole while a checkpoint is written.
    """
    rows = config.max_vocab_size
    return (
        _row_bytes(config) * rows
        + _SLOT * table_slots(rows)
        + text_bytes(rows)
        + _CANDIDATE * candidate_slots(config.max_candidates)
        + _kept_bytes(config)
    )


def _kept_bytes(config: Config) -> int:
    """Return the bytes of the replay, and of the rare words' contexts."""
    buckets = context_buckets(config.refresh_contexts)
    return 4 * ring_tokens(config.replay_tokens) + (WAYS * CONTEXT_BYTES + 1) * buckets


def _row_bytes(config: Config) -> int:
    vectors = 2 * 4 * stride_of(config.vector_size)
    return ROW.itemsize + _FREE + vectors + _WINDOWS + _NOISE
