"""Where records come from: one module for each kind of source."""

from stream_w2v.connectors.files import FileSource
from stream_w2v.connectors.registry import SourceFactory, open_source

__all__ = ["FileSource", "SourceFactory", "open_source"]
