"""Every error that the library raises on purpose.

    StreamW2VError
    ├── ConfigError            an option has a value that cannot work       (the caller's to mend)
    ├── SourceNotFoundError    a named source does not exist                (the caller's to mend)
    ├── SourceError            a source exists but cannot be read           (the input's)
    ├── FormatError            a file is damaged, or not what it was given as
    │   └── VersionError       a file was written by another version
    ├── StorageError           a file could not be written; the old one is intact
    ├── EmptyVocabularyError   there is no word to train, ask for or write
    ├── UnknownWordError       a word has no vector
    ├── DivergedError          training left the finite numbers
    └── BrokenModelError       learning was broken off inside a record

A message is one line that says what was wrong, where, and what to do about it.
"""


class StreamW2VError(Exception):
    """Base of every error that the library raises on purpose."""


class ConfigError(StreamW2VError, ValueError):
    """An option has a value that cannot work; the message gives the range."""


class NotInstalledError(ConfigError, ImportError):
    """A library that this part of the package needs is not installed."""


class SourceNotFoundError(StreamW2VError, FileNotFoundError):
    """A named source, or a glob, matches nothing."""


class SourceError(StreamW2VError):
    """A source exists but cannot be read, or broke off: for example a truncated gzip file."""


class FormatError(StreamW2VError, ValueError):
    """A file of vectors or a saved model is damaged, or is something else."""


class VersionError(FormatError):
    """A file was written by a version of this library whose files this one does not read."""


class StorageError(StreamW2VError):
    """A file could not be written, for example to a full disk; the old one is intact."""


class EmptyVocabularyError(StreamW2VError, ValueError):
    """No word has a vector, so there is nothing to query or to write."""


class UnknownWordError(StreamW2VError, KeyError):
    """A word has no vector."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument; ours is a sentence.
        return str(self.args[0]) if self.args else ""


class DivergedError(StreamW2VError, ArithmeticError):
    """Training left the finite numbers: the learning rate is too high for this stream."""


class BrokenModelError(StreamW2VError):
    """Learning was broken off inside a record, by Ctrl-C for example, or the model released."""
