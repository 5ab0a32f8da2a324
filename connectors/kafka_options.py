"""What is common to all that names a broker: URIs, and secrets that are not in them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from stream_w2v.errors import ConfigError

_SECRET = re.compile("password|secret|key_pem|oauthbearer_config|token")
"""Options whose value nobody may see, by whichever client's name."""


def parse_uri(uri: str) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the brokers, the topics and the options of a ``kafka://`` URI.

    Raises
    ------
    ConfigError
        If it names no broker, or a password.
    """
    try:
        url = urlsplit(uri)
        # A + is one, as in regular expressions, and no space.
        query = url.query.replace("+", "%2B")
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        msg = f"{uri} is no URI such as kafka://host:port/topic?name=value: {error}"
        raise ConfigError(msg) from error
    if "@" in url.netloc:
        msg = "a Kafka URI holds no password: use sasl_plain_username and sasl_plain_password"
        raise ConfigError(msg)
    if not url.netloc:
        msg = f"{uri} names no broker: kafka://host:port/topic"
        raise ConfigError(msg)
    options = dict(given)
    for name in {"topics", "bootstrap_servers", "follow"} & set(options):
        msg = f"{name} is no option of a Kafka URI: it stands before the question mark, or --follow"
        raise ConfigError(msg)
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
    for name, value in options.items():
        if name.endswith("proxy_url") or name == "socks5_proxy":
            if "@" in str(value):
                msg = f"{name} holds no password"
                raise ConfigError(msg)
        elif _SECRET.search(name.replace(".", "_")):
            revealed[name] = _revealed(name, str(value))
    return revealed


def _revealed(name: str, value: str) -> str:
    kind, _, place = value.partition(":")
    try:
        if kind == "env":
            return os.environ[place]
        if kind == "file":
            return Path(place).read_text(encoding="utf-8").rstrip("\n")
    except (KeyError, OSError, UnicodeDecodeError) as error:
        msg = f"{name}: there is nothing at {kind}:{place}"
        raise ConfigError(msg) from error
    msg = f"{name} must be env:NAME or file:PATH, which say where the secret is"
    raise ConfigError(msg)
