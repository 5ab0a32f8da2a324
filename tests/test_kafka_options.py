"""What names a broker: URIs, and secrets that are not in them."""

from __future__ import annotations

import pytest

from stream_w2v.connectors.kafka_options import check_apart, parse_uri, reveal_secrets
from stream_w2v.errors import ConfigError


def test_a_uri_is_brokers_topics_and_options():
    """With commas between several, and a + as it stands."""
    assert parse_uri("kafka://a:1,b:2/one,two?pattern=n.%2B+&field=") == (
        ["a:1", "b:2"],
        ["one", "two"],
        {"pattern": "n.++", "field": ""},
    )


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("kafka://a/t?geheim", "must look like kafka://host:port/topic[?]name=value"),
        ("kafka://a/t?sasl_plain_password=geheim&x", "must look like kafka://host:port/topic"),
        ("kafka://me:geheim@a:1/t?x", "must look like kafka://host:port/topic"),
        ("kafka://me:geheim\uff20a/t", "must look like kafka://host:port/topic"),
        ("kafka://[me:geheim@a/t", "must look like kafka://host:port/topic"),
        ("kafka://me:ge?heim@a/t", "must look like kafka://host:port/topic"),
        ("kafka:///t?sasl_plain_password=geheim", "must name a broker: kafka://host:port/topic"),
        ("kafka://me:geheim@a/t", "a Kafka URI holds no password"),
        ("kafka://me:ge/heim@a/t", "a Kafka URI holds no password"),
        ("kafka://a/t?start=latest&start=geheim", "has the option start 2 times"),
        ("kafka://a/t?follow=geheim", "follow is no option of a Kafka URI"),
    ],
)
def test_what_is_wrong_with_a_uri_is_said_without_showing_it(uri, said):
    """Somebody may have put a password into it."""
    with pytest.raises(ConfigError, match=said) as caught:
        parse_uri(uri)
    assert not any(part in str(caught.value) for part in ("me:", "heim"))


def test_secrets_are_where_the_options_say(tmp_path, monkeypatch):
    """What is no text is the client's: an object that gets tokens; where it asks is no secret."""
    monkeypatch.setenv("SECRET", "geheim")
    (tmp_path / "secret").write_text("geheim\n")
    provider = object()
    plain = {
        "sasl_oauth_token_provider": provider,
        "sasl_oauthbearer_token_endpoint_url": "https://login.example/token",
        "sasl.oauthbearer.token.endpoint.url": "https://login.example/token",
        "ssl_check_hostname": True,
    }
    secret = {"sasl_plain_password": "env:SECRET", "ssl_key_password": f"file:{tmp_path}/secret"}
    assert reveal_secrets(plain | secret) == plain | dict.fromkeys(secret, "geheim")
    for name in ("sasl_oauthbearer_token_endpoint_url", "proxy_url"):
        with pytest.raises(ConfigError, match=f"{name} holds no password"):
            reveal_secrets({name: "https://me:geheim@login.example"})


@pytest.mark.parametrize(
    ("source", "output", "said"),
    [
        ("kafka://a/v", "kafka://a/v", "vectors cannot go to v, which is read"),
        ("kafka://a/t,v", "KAFKA://other/v?ssl_cafile=x", "vectors cannot go to v, which is read"),
        ("kafka://a/?pattern=.*", "kafka://a/v", "vectors cannot go to v, which is read"),
        ("kafka://a/t?dead_letters=topic:v", "kafka://a/v", "to v, where dead letters go"),
        ("kafka://a/t?dead_letters=x/../v.bin", "v.bin", "dead letters go to x/../v.bin, and"),
        ("kafka://a/t?pattern=[", "kafka://a/v", "pattern is no regular expression"),
    ],
)
def test_what_is_written_is_not_read_and_no_dead_letters_are_in_it(source, output, said):
    """Each vector would be a message to learn."""
    with pytest.raises(ConfigError, match=said):
        check_apart(source, output)
    place, separator, letters = source.partition("?dead_letters=")
    if separator:
        with pytest.raises(ConfigError, match=said):
            check_apart(place, output, letters)


def test_what_is_written_may_be_elsewhere():
    """A topic whose name only begins like that of another."""
    source = "kafka://a/t?pattern=te&dead_letters=topic:dead"
    for output in ("kafka://a/text", "t", "v.bin"):
        check_apart(source, output)
    check_apart("kafka://a/t", "v.bin")
