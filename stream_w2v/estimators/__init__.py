"""Estimators for river: text features, drift and similar texts, learnt online in its pipelines.

The only package that imports river, and pandas, whose frames river's mini-batches are.
"""

from stream_w2v.errors import NotInstalledError

try:
    import pandas  # noqa: F401 - asked for here, so that one line says what to install
    import river  # noqa: F401
except ImportError as error:
    msg = f"estimators need pip install 'stream-w2v[river]': {error}"
    raise NotInstalledError(msg) from error

from stream_w2v.estimators.checkpoints import PipelineCheckpoints
from stream_w2v.estimators.drift import WordDrift
from stream_w2v.estimators.similar import SimilarTexts
from stream_w2v.estimators.transformer import Word2VecTransformer

__all__ = ["PipelineCheckpoints", "SimilarTexts", "Word2VecTransformer", "WordDrift"]
