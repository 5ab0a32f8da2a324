"""Names of rotated files."""

import pytest

from stream_w2v.connectors.rotation import Logs, is_rotated

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
    assert Logs([f"/x/{name}", "/x/app.log"]).of(f"/x/{name}") == "app.log"


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
    assert not is_rotated("app.8080.log", "app.log")


def test_a_number_inside_a_name_is_a_rotation_only_beside_what_was_rotated():
    """``server.1.log`` is a log of its own, unless there is ``server.log``."""
    logs = Logs(["/x/server.1.log", "/x/server.2.log", "/x/server.2.log.1.gz", "/y/server.1.log"])
    assert logs.of("/x/server.1.log") == "server.1.log"
    assert logs.of("/x/server.2.log") == logs.of("/x/server.2.log.1.gz") == "server.2.log"
    assert logs.order("/x/server.2.log.1.gz") < logs.order("/x/server.2.log")
    assert Logs(["/x/server.1.log", "/x/server.log"]).of("/x/server.1.log") == "server.log"
    logs = Logs(["/x/app.log.1", "/x/app.log.2.gz", "/x/app.log.1.gz"])
    assert {logs.of(f"/x/app.log.{end}") for end in ("1", "2.gz", "1.gz")} == {"app.log"}


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
    logs = Logs(paths := [f"/x/{name}" for name in names])
    assert sorted(paths, key=logs.order) == paths
    assert {logs.of(path) for path in paths} == {"app.log"}
