"""What a run keeps of itself in its checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_w2v.errors import ConfigError
from stream_w2v.run import Run


@pytest.mark.parametrize(
    "option",
    [
        "ssl_cafile=",
        "ssl_ca_location=",
        "ssl.key.location=",
        "sasl_kerberos_keytab=",
        "sasl_plain_password=file:",
        "dead_letters=",
    ],
)
def test_files_that_a_uri_names_are_relative_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """By whichever client's name; so the run goes on from where it began."""
    monkeypatch.chdir(tmp_path)
    relative, absolute = (
        Run([f"kafka://a:1/t?{option}{place}"]).to_dict() for place in ("x.pem", "/x.pem")
    )
    assert Run.from_dict(relative).sources == relative["sources"]
    monkeypatch.chdir("/")
    assert Run.from_dict(absolute).sources == absolute["sources"]
    with pytest.raises(ConfigError, match=f"in the directory {tmp_path}: resume it from there"):
        Run.from_dict(relative)
