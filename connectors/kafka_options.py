"""What is common to all that names a broker: URIs, and secrets that are not in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from stream_w2v.errors import ConfigError

_SECRETS = ("sasl_plain_password", "ssl_password")


def parse_uri(uri: str) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the brokers, the topics and the options of a ``kafka://`` URI.

    Raises
    ------
    ConfigError
        If it names no broker, or a password.
    """
    url = urlsplit(uri)
    if "@" in url.netloc:
        msg = "a Kafka URI holds no password: use sasl_plain_username and sasl_plain_password"
        raise ConfigError(msg)
    if not url.netloc:
        msg = f"{uri} names no broker: kafka://host:port/topic"
        raise ConfigError(msg)
    options = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
    topics = [topic for topic in unquote(url.path.strip("/")).split(",") if topic]
    return url.netloc.split(","), topics, options


def reveal_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """Replace where a secret is by the secret: it is in no URI, and so in no log or checkpoint.

    Raises
    ------
    ConfigError
        If a secret is given itself, or is not where it is said to be.
    """
    revealed = dict(options)
    for name in _SECRETS:
        kind, _, place = str(options.get(name, "")).partition(":")
        if name not in options:
            continue
        try:
            if kind == "env":
                revealed[name] = os.environ[place]
            elif kind == "file":
                revealed[name] = Path(place).read_text(encoding="utf-8").rstrip("\n")
            else:
                msg = f"{name} must be env:NAME or file:PATH, which say where the secret is"
                raise ConfigError(msg)
        except (KeyError, OSError) as error:
            msg = f"{name}: there is nothing at {kind}:{place}"
            raise ConfigError(msg) from error
    return revealed
