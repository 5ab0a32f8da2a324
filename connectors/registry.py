"""From what a user names to the source that reads it.

A source is named by a path, a glob, ``-`` or ``scheme://...``. The scheme chooses an entry point
of the group ``stream_w2v.sources``; whatever has no scheme is a file. Another package adds a
scheme by naming a :class:`SourceFactory` in its own pyproject.toml::

    [project.entry-points."stream_w2v.sources"]
    redis = "my_package.redis:RedisSource"
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

from stream_w2v.errors import ConfigError
from stream_w2v.stream import Source

GROUP = "stream_w2v.sources"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class SourceFactory(Protocol):
    """What an entry point names: most simply a Source class with this classmethod."""

    def from_uris(self, uris: Sequence[str], /, **options: Any) -> Source:
        """Make one source that reads all of the URIs, in this order.

        Every URI arrives as the user wrote it, its scheme included. What is wrong with a URI or
        with an option is a :class:`~stream_w2v.errors.StreamW2VError`, and is raised here as far
        as it can be known, before anything is trained.
        """


def open_source(uris: str | Sequence[str], **options: Any) -> Source:
    """Make the source that reads the URIs.

    Parameters
    ----------
    uris
        Paths, globs, ``-`` or ``scheme://...``: one, or several of the same scheme.
    **options
        Passed on to the scheme's factory.

    Returns
    -------
    Source
        Not started: ``seek`` it or iterate.

    Raises
    ------
    ConfigError
        If there are no URIs, if their schemes differ, or if no installed package reads the scheme.
    """
    uris = [uris] if isinstance(uris, str) else list(uris)
    schemes = list(dict.fromkeys(map(_scheme, uris)))
    if not schemes:
        msg = "no source was named: give a path, a glob, - or scheme://..."
        raise ConfigError(msg)
    if len(schemes) > 1:
        msg = f"sources of different kinds cannot be read as one: {', '.join(schemes)}"
        raise ConfigError(msg)
    return _factory(schemes[0]).from_uris(uris, **options)


def _scheme(uri: str) -> str:
    match = _SCHEME.match(uri)
    return match[1].lower() if match else "file"


def _factory(scheme: str) -> SourceFactory:
    installed = entry_points(group=GROUP)
    found = next(iter(installed.select(name=scheme)), None)
    if found is None:
        names = ", ".join(sorted({f"{point.name}://" for point in installed})) or "none"
        msg = f"no installed source reads {scheme}:// (there is: {names})"
        raise ConfigError(msg)
    try:
        factory: SourceFactory = found.load()
    except (ImportError, AttributeError) as error:
        # Typically an optional client library that is not installed.
        msg = f"the source for {scheme}:// cannot be loaded: {error}"
        raise ConfigError(msg) from error
    return factory
