"""Names of rotated files."""

import pytest

from stream_w2v.connectors.rotation import is_rotated, order, undated

ROTATED = [
    "app.log.1", "app.log.12.gz", "app.log-20261121", "app.log-20261121.gz", "app.log.2026-11-21",
    "app-2026-11-21.log", "app-20261121-17.log.zst", "app.1.log", "app.log-1790000000",
    "app.log-2026-11-21T17:32:05", "app.2026-11-21.0.log", "app.log.1.bz2", "app_2026_11_21.log.xz",
]  # fmt: skip


@pytest.mark.parametrize("name", ROTATED)
def test_what_a_log_was_rotated_to_is_known_by_its_name(name):
    """By a path, and by a glob."""
    assert is_rotated(name, "app.log")
    assert is_rotated(name, "*.log") or not name.startswith("app.log")
    assert undated(name) == "app.log"


@pytest.mark.parametrize(
    "name",
    ["app.log", "app.log.bak", "app.log.swp", "app2.log", "other.log.1", "app.log.12345", "app.1",
     "myapp.log.1", "app.log.1.tmp"],
)  # fmt: skip
def test_other_files_are_not(name):
    """Those of another log, backups, and the log itself."""
    assert not is_rotated(name, "app.log")


def test_logs_that_differ_in_a_number_are_not_each_other():
    """But those that differ in a date are."""
    assert not is_rotated("server.2.log", "server.1.log")
    assert not is_rotated("worker-2.log", "worker-1.log")
    assert is_rotated("app-2026-11-20.log", "app-2026-11-21.log")
    assert is_rotated("app-2026-11-20.log.gz", "app-2026-11-21.log")


@pytest.mark.parametrize(
    "names",
    [
        ["app.log.10.gz", "app.log.2.gz", "app.log.1", "app.log"],
        ["app.log-20251231.gz", "app.log-20261120", "app.log-20261121", "app.log"],
        ["app-2026-11-20.log.gz", "app-2026-11-21.log"],
    ],
)
def test_files_of_a_log_are_ordered_by_age(names):
    """Whatever the system says of when they were changed."""
    assert sorted(names, key=lambda name: order(name, 0)) == names
