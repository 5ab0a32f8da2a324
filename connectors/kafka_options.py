"""What is common to all that names a broker: URIs, and secrets that are not in them."""

from __future__ import annotations

import os
import re
from collections import Counter
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
        If it names no broker, or a password, or an option twice. The message does not show the
        URI: somebody may have put a secret into it, wherever that is in what cannot be parsed.
    """
    try:
        url = urlsplit(uri)
        # A + is one, as in regular expressions, and no space.
        query = url.query.replace("+", "%2B")
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        msg = "a Kafka URI must look like kafka://host:port/topic?name=value"
        raise ConfigError(msg) from error
    if "@" in url.netloc + url.path:
        msg = "a Kafka URI holds no password: use sasl_plain_username and sasl_plain_password"
        raise ConfigError(msg)
    if not url.netloc:
        msg = "a Kafka URI must name a broker: kafka://host:port/topic"
        raise ConfigError(msg)
    options = dict(given)
    for name, times in Counter(name for name, _ in given).items():
        if times > 1:
            msg = f"a Kafka URI has the option {name} {times} times"
            raise ConfigError(msg)
    for name in {"topics", "bootstrap_servers", "follow"} & set(options):
        msg = f"{name} is no option of a Kafka URI: it stands before the question mark, or --follow"
        raise ConfigError(msg)
    topics = [topic for topic in unquote(url.path.strip("/")).split(",") if topic]
    return url.netloc.split(","), topics, options


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of topics.

    Raises
    ------
    ConfigError
        If it is none.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        msg = f"pattern is no regular expression: {error}"
        raise ConfigError(msg) from error


def check_apart(source: str, output: str, dead_letters: str | None = None) -> None:
    """Refuse an output that a source reads, or where it keeps its dead letters.

    Parameters
    ----------
    source
        The URI of topics.
    output
        The URI of a topic, or the path of a file.
    dead_letters
        Where those go if the source's URI does not say it.

    Raises
    ------
    ConfigError
        If it is the same topic, at whichever brokers, or the same file.
    """
    _, topics, options = parse_uri(source)
    letters = options.get("dead_letters", dead_letters or "")
    if is_topic(output):
        pattern = compiled(options["pattern"]) if "pattern" in options else None
        for topic in parse_uri(output)[1]:
            if topic in topics or (pattern is not None and pattern.fullmatch(topic)):
                msg = f"vectors cannot go to {topic}, which is read: they would be read, too"
                raise ConfigError(msg)
            if letters == f"topic:{topic}":
                msg = f"vectors cannot go to {topic}, where dead letters go"
                raise ConfigError(msg)
    elif letters and os.path.realpath(letters) == os.path.realpath(output):
        msg = f"dead letters go to {letters}, and would be overwritten"
        raise ConfigError(msg)


def is_topic(name: str | Path) -> bool:
    """Whether something that is read or written is in Kafka, and no file."""
    return str(name).lower().startswith("kafka://")


def reveal_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """Replace where a secret is by the secret: it is in no URI, and so in no log or checkpoint.

    Raises
    ------
    ConfigError
        If a secret is given itself, or is not where it is said to be.
    """
    revealed = dict(options)
    for name, value in options.items():
        if not isinstance(value, str):
            # An object that gets tokens itself, for example.
            continue
        plain = name.replace(".", "_")
        if plain.endswith(("proxy_url", "endpoint_url")) or plain == "socks5_proxy":
            if "@" in value:
                msg = f"{name} holds no password"
                raise ConfigError(msg)
        elif _SECRET.search(plain):
            revealed[name] = _revealed(name, value)
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
