"""Files that grow and rotate."""

import errno
import functools
import gzip
import json
import operator
import os
import resource
import shutil
import threading
import time
from pathlib import Path

import pytest
import rotating

from stream_w2v.connectors import content as contents
from stream_w2v.connectors import folders, followed, inputs, open_source, tracker
from stream_w2v.connectors.files import FileSource
from stream_w2v.connectors.follow import FollowSource
from stream_w2v.errors import ConfigError, SourceError, SourceNotFoundError
from stream_w2v.stream import dead_letters

FIRST, SECOND = b"the first line\n", b"the second line\n"


class Follower:
    """A source that is looked at by hand, with a clock of its own."""

    def __init__(self, *paths, positions=None, **options):
        self.time = 0.0
        self.source = FollowSource(paths, poll_seconds=0, **options)
        self.source._clock = lambda: self.time
        self.source.seek(positions or {})
        self.batches = iter(self.source)
        self.records: list[bytes] = []
        self.positions = {}
        self.take(next(self.batches))

    def take(self, batch):
        """Keep the records of a batch, and its positions."""
        start = 0
        for end in batch.ends.tolist():
            self.records.append(bytes(batch.data[start:end]))
            start = end
        # What a checkpoint does with them.
        self.positions = json.loads(json.dumps(dict(batch.positions)))

    def read(self, seconds=1.0):
        """Let time pass, read until nothing comes, and return what came."""
        self.time += seconds
        before = len(self.records)
        # What the first empty one was about had perhaps been looked at before.
        idle = 0
        while idle < 2:
            batch = next(self.batches)
            self.take(batch)
            idle = 0 if len(batch) else idle + 1
        return self.records[before:]

    def close(self):
        """End the iteration, and close the files."""
        self.batches.close()
        self.source.close()


@pytest.fixture
def follow(request):
    """Return what makes followers, which are closed at the end."""
    made = []

    def make(*paths, **options):
        made.append(Follower(*paths, **options))
        return made[-1]

    yield make
    for follower in made:
        follower.close()


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "app.log"
    path.write_bytes(FIRST)
    return path


def append(path, data):
    with path.open("ab") as file:
        file.write(data)


# At random.


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_whatever_happens_to_a_log_every_line_is_learnt_once(first):
    """Renamed, copied, compressed, emptied, deleted; with restarts and kills in between."""
    for seed in range(first, first + 100):
        rotating.run(seed, steps=30)


def test_a_line_that_is_lost_is_noticed_by_that_test(monkeypatch):
    """It would be red."""
    monkeypatch.setattr(rotating.World, "_risk", lambda *_: None)
    with pytest.raises(AssertionError, match="lost: "):
        for seed in range(100):
            rotating.run(seed, steps=30)


# Lines.


def test_a_line_waits_for_its_line_break(log, follow):
    """Also over a restart."""
    follower = follow(log)
    assert follower.read() == [FIRST]
    append(log, b"half")
    assert follower.read() == []
    again = follow(log, positions=follower.positions)
    append(log, b" and half\r\n")
    assert follower.read() == again.read() == [b"half and half\r\n"]


def test_a_last_line_without_a_line_break_is_taken_some_time_after_the_rotation(log, follow):
    """Whoever wrote it may be about to finish it."""
    follower = follow(log)
    append(log, b"half")
    follower.read()
    log.rename(log.with_name("app.log.1"))
    log.touch()
    assert follower.read(1) == []
    append(log.with_name("app.log.1"), b" and half\nhalf")
    assert follower.read(4) == [b"half and half\n"]
    assert follower.read(4) == []
    assert follower.read(4) == [b"half"]


def test_what_is_written_to_a_file_after_its_rotation_is_read(log, follow):
    """As by a program that has not heard of it yet; until the next rotation."""
    follower = follow(log)
    with log.open("ab") as writer:
        log.rename(log.with_name("app.log.1"))
        log.write_bytes(SECOND)
        assert follower.read() == [FIRST, SECOND]
        assert follower.read(100) == []
        writer.write(b"late\n")
    assert follower.read() == [b"late\n"]


def test_lines_that_are_too_long_are_counted_and_kept(log, follow, tmp_path):
    """And hold up nothing, nor take memory; the count goes on with the positions."""
    dead = tmp_path / "dead.jsonl"
    follower = follow(log, max_record_bytes=100, dead_letters=dead, batch_bytes=64)
    append(log, b"x" * 5000)
    follower.read()
    assert len(follower.source._tracker.files[0].rest) <= 100
    again = follow(log, positions=follower.positions, max_record_bytes=100)
    append(log, b"x" * 5000 + b"\n" + SECOND)
    assert follower.read() == again.read() == [SECOND]
    assert dead_letters(follower.positions) == dead_letters(again.positions) == {"too long": 1}
    (letter,) = map(json.loads, dead.read_text().splitlines())
    assert (letter["part"], letter["offset"]) == (str(log), len(FIRST))


def test_json_lines_and_events(tmp_path, follow):
    """A field of each line; lines that go on with the one before."""
    log = tmp_path / "a.json"
    log.write_bytes(b'{"m": {"text": "one"}}\nrubbish\n{"m": {"text": "two"}}\n')
    follower = follow(log, field="m.text")
    assert follower.read() == [b"one", b"two"]
    assert dead_letters(follower.positions) == {"invalid JSON": 1}
    log = tmp_path / "b.log"
    log.write_bytes(b"2026 one\n  at a\n  at b\n2026 two\n  at c\n  at")
    follower = follow(log, record_start=r"\d{4} ")
    assert follower.read() == [b"2026 one\n  at a\n  at b\n"]
    # The last one has no end to be seen; it is waited for.
    assert follower.read(10) == [b"2026 two\n  at c\n"]


def test_a_byte_order_mark_is_no_part_of_a_line(tmp_path, follow):
    (tmp_path / "a.log").write_bytes(b"\xef\xbb\xbf" + FIRST)
    follower = follow(tmp_path / "a.log")
    assert follower.read() == [FIRST]
    again = follow(tmp_path / "a.log", positions=follower.positions)
    assert again.read() == []


# Which files.


def test_files_that_appear_are_read_from_their_beginning(tmp_path, follow, caplog):
    """A path that is not there yet, and new matches of a glob."""
    follower = follow(tmp_path / "app.log", tmp_path / "*.txt", tmp_path / "no" / "a.log")
    assert f"{tmp_path / 'app.log'} does not exist yet: it is waited for" in caplog.text
    assert follower.read() == []
    (tmp_path / "app.log").write_bytes(FIRST)
    (tmp_path / "a.txt").write_bytes(SECOND)
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "a.log").write_bytes(b"no\n")
    assert sorted(follower.read()) == sorted([FIRST, SECOND, b"no\n"])


def test_following_may_begin_at_the_end(log, follow):
    """With the line that is being written; what appears later is read all the same."""
    append(log, b"half")
    log.with_name("app.log.1").write_bytes(b"old\n")
    follower = follow(log, start="latest")
    append(log, b" and half\n")
    assert follower.read() == [b"half and half\n"]
    log.unlink()
    log.write_bytes(SECOND)
    assert follower.read() == [SECOND]


def test_a_link_that_moves_is_followed(tmp_path, follow):
    """The file that it pointed to is finished first; days that passed while nobody looked, too."""
    link = tmp_path / "current"

    def day(number):
        (tmp_path / f"app-2026-11-{number}.log").write_bytes(b"day %d\n" % number)
        link.unlink(missing_ok=True)
        link.symlink_to(f"app-2026-11-{number}.log")

    day(20)
    follower = follow(link)
    follower.read()
    day(21)
    append(tmp_path / "app-2026-11-20.log", b"late\n")
    assert follower.read() == [b"late\n", b"day 21\n"]
    day(22)
    day(23)
    again = follow(link, positions=follower.positions)
    assert again.read() == [b"day 22\n", b"day 23\n"]


def test_rotated_while_nobody_looked_several_times_and_compressed(log, follow):
    """What was begun is finished where it is now, and what came after is read in order."""
    follower = follow(log)
    follower.read()
    append(log, b"a\n")
    for number, line in ((3, b"b\n"), (2, b"c\n"), (1, b"d\n")):
        content = log.read_bytes()
        if number == 1:
            log.rename(log.with_name("app.log.1"))
        else:
            log.with_name(f"app.log.{number}.gz").write_bytes(gzip.compress(content))
            log.unlink()
        log.write_bytes(line)
    again = follow(log, positions=follower.positions)
    assert again.read() == [b"a\n", b"b\n", b"c\n", b"d\n"]
    assert follow(log, positions=again.positions).read() == []


def test_a_copy_beside_the_log_is_not_learnt_twice(log, follow):
    """Before it is clear whether it is the beginning of a rotation; a backup stays unread."""
    follower = follow(log.with_name("app*"))
    follower.read()
    copy = log.with_name("app.log.1")
    copy.touch()
    assert follower.read(1) == []
    copy.write_bytes(FIRST[:4])
    assert follower.read(1) == []
    copy.write_bytes(FIRST)
    assert follower.read(1) == []
    os.truncate(log, 0)
    append(log, SECOND)
    assert follower.read(1) == [SECOND]
    assert follower.read(100) == []


def test_what_was_deleted_unread_is_reported(log, follow, caplog):
    """With the number of bytes that are known to be missing."""
    follower = follow(log, batch_bytes=1)
    follower.close()
    log.unlink()
    again = follow(log, positions=follower.positions)
    assert again.read(1) == []
    again.read(10)
    again.read(10)
    assert f"{log} was deleted or emptied before it was read: at least {len(FIRST)}" in caplog.text
    assert again.positions["followed"]["missing"] == len(FIRST)
    assert dead_letters(again.positions) == {"deleted before it was read": 1}
    log.write_bytes(SECOND)
    assert again.read() == [SECOND]


def test_what_was_deleted_while_nobody_followed_is_reported(log, follow, caplog):
    """Though nothing is known to be missing; what is emptied before our eyes is not."""
    follower = follow(log)
    follower.read()
    os.truncate(log, 0)
    follower.read(10)
    follower.read(10)
    assert not caplog.text
    append(log, SECOND)
    follower.read()
    follower.close()
    log.unlink()
    again = follow(log, positions=follower.positions)
    again.read(10)
    again.read(10)
    assert f"what was written to it after byte {len(SECOND)} is lost" in caplog.text
    assert dead_letters(again.positions) == {"deleted while nobody followed it": 1}
    assert again.positions["followed"]["missing"] == 0


@pytest.mark.parametrize("name", ["app.log.old", "app.log-21112026", "yesterday.gz", "app.log.1.Z"])
def test_a_rotated_file_is_found_whatever_it_is_called(log, follow, name):
    """By its inode, or, if it was compressed, by what it holds."""
    follower = follow(log)
    follower.read()
    follower.close()
    append(log, SECOND)
    if name.endswith(".gz"):
        log.with_name(name).write_bytes(gzip.compress(log.read_bytes()))
        log.unlink()
    else:
        log.rename(log.with_name(name))
    log.write_bytes(b"new\n")
    again = follow(log, positions=follower.positions)
    assert sorted(again.read() + again.read(10) + again.read(10)) == [b"new\n", SECOND]
    append(log.with_name("other.log"), b"other\n")
    assert again.read(10) == []


@pytest.mark.parametrize("compressed", [False, True])
def test_copies_of_a_log_are_not_learnt_when_it_is_emptied(log, follow, compressed):
    """Several, made while it grew; also under a glob that matches them."""
    follower = follow(log.with_name("app.log*"))
    follower.read()
    for number in (3, 2, 1):
        copy = log.with_name(f"app.log.{number}" + ".gz" * compressed)
        copy.write_bytes(gzip.compress(log.read_bytes()) if compressed else log.read_bytes())
        append(log, SECOND)
        assert follower.read(10) + follower.read(10) == [SECOND]
    shutil.copy(log, log.with_name("app.log.0"))
    append(log, b"unseen\n")
    shutil.copy(log, log.with_name("app.log.4"))
    os.truncate(log, 0)
    assert follower.read(10) + follower.read(10) + follower.read(10) == [b"unseen\n"]
    again = follow(log.with_name("app.log*"), positions=follower.positions)
    assert again.read(10) + again.read(10) + again.read(10) == []


def test_a_compressed_file_that_was_there_before_is_not_learnt_when_it_is_renamed(log, follow):
    """Nor when it comes after what it was made of."""
    log.with_name("app.log.1").write_bytes(b"old\n")
    log.with_name("app.log.2.gz").write_bytes(gzip.compress(b"older\n" * 100))
    follower = follow(log)
    assert follower.read() == [FIRST]
    log.with_name("app.log.2.gz").rename(log.with_name("app.log.3.gz"))
    append(log.with_name("app.log.3.gz"), gzip.compress(b"one more\n"))
    log.with_name("app.log.2.gz").write_bytes(gzip.compress(b"old\n"))
    log.with_name("app.log.1").unlink()
    assert follower.read(10) + follower.read(10) + follower.read(10) == []


def test_a_log_that_is_replaced_by_a_copy_of_itself_is_read_on(log, follow):
    """Also if that has grown and has been compressed before anybody looked."""
    follower = follow(log)
    follower.read()
    new = log.with_name(".new")
    shutil.copy(log, new)
    new.rename(log)
    append(log, SECOND)
    assert follower.read(10) == [SECOND]
    shutil.copy(log, new)
    new.rename(log)
    append(log, b"third\n")
    log.with_name("app.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.write_bytes(b"new\n")
    assert sorted(follower.read(10) + follower.read(10) + follower.read(10)) == [
        b"new\n",
        b"third\n",
    ]


@pytest.mark.parametrize("restart", [False, True])
def test_a_folder_that_was_away_is_known_again(tmp_path, follow, restart, caplog):
    """As a disk that was not mounted for a while; what rotated files it has are not new either."""
    folder, away = tmp_path / "logs", tmp_path / "away"
    folder.mkdir()
    log = folder / "app.log"
    log.write_bytes(FIRST)
    follower = follow(folder / "app.log*")
    follower.read()
    log.rename(folder / "app.log.1")
    log.write_bytes(SECOND)
    assert follower.read(10) == [SECOND]
    follower.read(10)
    if restart:
        follower.close()
    folder.rename(away)
    if restart:
        follower = follow(folder / "app.log*", positions=follower.positions)
    for _ in range(5):
        assert follower.read(10) == []
    away.rename(folder)
    append(log, b"third\n")
    assert follower.read(10) + follower.read(10) == [b"third\n"]
    assert follower.positions["followed"]["missing"] == 0
    assert not dead_letters(follower.positions)
    assert ("is there again" in caplog.text) == restart


def test_what_cannot_be_read_now_is_not_given_up(log, follow, monkeypatch, caplog):
    """Neither files nor folders: no descriptor left, or a file server that does not answer."""
    follower = follow(log)
    follower.read()
    follower.close()
    with monkeypatch.context() as patch:
        error = OSError(errno.EMFILE, "Too many open files")
        patch.setattr(followed.os, "open", lambda *_: (_ for _ in ()).throw(error))
        patch.setattr(inputs.os, "open", lambda *_: (_ for _ in ()).throw(error))
        again = follow(log, positions=follower.positions)
        for _ in range(3):
            assert again.read(10) == []
    assert "Too many open files" in caplog.text
    append(log, SECOND)
    assert again.read(10) == [SECOND]
    again.close()
    with monkeypatch.context() as patch:
        stale = OSError(errno.ESTALE, "Stale file handle")
        patch.setattr(folders.os, "scandir", lambda _: (_ for _ in ()).throw(stale))
        patch.setattr(tracker.os, "stat", lambda _: (_ for _ in ()).throw(stale))
        later = follow(log, positions=again.positions)
        for _ in range(3):
            assert later.read(10) == []
    assert all("gone" not in place for place in later.positions.values())
    append(log, b"third\n")
    assert later.read(10) + later.read(10) == [b"third\n"]


def test_a_writer_that_keeps_its_file_over_two_rotations_is_heard_in_the_end(log, follow):
    """Though nothing tells that this one has changed: all are looked at once a minute."""
    with log.open("ab", buffering=0) as writer:
        follower = follow(log)
        follower.read()
        for number in (1, 2, 3):
            for rotated in sorted(log.parent.glob("app.log.*"), reverse=True):
                rotated.rename(log.with_name(f"app.log.{int(rotated.suffix[1:]) + 1}"))
            log.rename(log.with_name("app.log.1"))
            log.write_bytes(b"run %d\n" % number)
            assert follower.read(10) == [b"run %d\n" % number]
            follower.read(10)
        follower.read(10)
        writer.write(SECOND)
        assert follower.read(61) + follower.read(61) == [SECOND]


def lines(name, count):
    return b"".join(b"%s line %d\n" % (name, number) for number in range(count))


@pytest.mark.parametrize("name", ["app.log", "10.0.0.1.log", "server.1.log"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_copy_that_is_not_whole_yet_is_waited_for(tmp_path, follow, name, ending):
    """However long it takes, plain or compressed; then what was copied is emptied, or is not."""
    log = tmp_path / name
    log.write_bytes(lines(b"old", 500))
    follower = follow(tmp_path / "*")
    follower.read()
    copy = log.with_name(f"{name}.1{ending}")
    whole = gzip.compress(log.read_bytes(), mtime=0) if ending else log.read_bytes()
    for size in (0, len(whole) // 3, len(whole) // 2, len(whole)):
        copy.write_bytes(whole[:size])
        for _ in range(3):
            assert follower.read(10) == []
    os.truncate(log, 0)
    append(log, SECOND)
    assert follower.read(10) + follower.read(10) == [SECOND]
    again = follow(tmp_path / "*", positions=follower.positions)
    assert again.read(10) + again.read(10) + again.read(10) == []
    assert not dead_letters(again.positions)


def test_files_that_say_the_same_are_all_learnt(tmp_path, follow):
    """Short ones of each day that were there before, and long ones that differ somewhere."""
    for day in range(1, 6):
        (tmp_path / f"short.log-2026110{day}").write_bytes(FIRST)
        middle = b"day %d\n" % day
        report = lines(b"head", 500) + middle + lines(b"foot", 500)
        (tmp_path / f"long.log-2026110{day}").write_bytes(report)
    (tmp_path / "short.log").write_bytes(FIRST + SECOND)
    (tmp_path / "long.log").write_bytes(lines(b"head", 500))
    follower = follow(tmp_path / "*.log*")
    got = functools.reduce(operator.iadd, (follower.read(10) for _ in range(4)), [])
    assert got.count(FIRST) == 6
    assert [line for line in got if line.startswith(b"day")] == [
        b"day %d\n" % n for n in range(1, 6)
    ]


def test_a_log_is_read_though_another_one_grows_as_it_does(tmp_path, follow):
    """And what differs from it is read in the end, whatever both begin with."""
    log, rotated = tmp_path / "app.log", tmp_path / "app-2026-11-21.log"
    for path in (log, rotated):
        path.write_bytes(lines(b"banner", 500))
    follower = follow(tmp_path / "*.log")
    got = []
    for number in range(100):
        for path in (log, rotated):
            append(path, b"line %d\n" % number)
        got += follower.read(2)
    assert {line for line in got if line.startswith(b"line")} == {
        b"line %d\n" % number for number in range(100)
    }
    append(rotated, b"another\n")
    append(log, b"one\n")
    assert {b"another\n", b"one\n"} <= {*follower.read(10), *follower.read(10)}


def test_a_new_log_is_held_open_while_its_rotated_ones_are_compressed(log, follow):
    """So that it is not lost when it goes meanwhile, and it is read at once."""
    log.write_bytes(lines(b"old", 2000))
    follower = follow(log)
    follower.read()
    whole = gzip.compress(log.read_bytes())
    log.rename(log.with_name("app.log.1"))
    log.write_bytes(b"new\n")
    packed = log.with_name("app.log.1.gz")
    got = []
    for size in range(0, len(whole), 500):
        packed.write_bytes(whole[:size])
        got += follower.read(2)
    assert got == [b"new\n"]
    log.unlink()
    assert follower.read(10) == []
    assert follower.positions["followed"]["missing"] == 0


def test_a_broken_archive_is_reported_though_a_rotated_file_is_empty(log, follow):
    """That one may become anything yet."""
    log.with_name("app.log.1.gz").touch()
    packed = gzip.compress(os.urandom(1000).hex().encode())
    log.with_name("app.log.2.gz").write_bytes(packed[:-100])
    follower = follow(log.with_name("app.log*"))
    for _ in range(4):
        follower.read(10)
    assert dead_letters(follower.positions) == {"damaged file": 1}


def test_what_is_not_learnt_again_is_said(log, follow, caplog):
    """It may be that two files only say the same."""
    follower = follow(log)
    follower.read()
    shutil.copy(log, log.with_name("app.log.1"))
    follower.read(10)
    follower.read(10)
    assert "app.log.1 holds what" in caplog.text
    assert caplog.text.count("not learnt again") == 1


def test_rotated_files_of_equal_lines_are_found_where_they_went(log, follow):
    """Though the new log holds the same."""
    log.write_bytes(FIRST * 3)
    follower = follow(log)
    assert len(follower.read()) == 3
    log.with_name("app.log.1.gz").write_bytes(gzip.compress(FIRST * 3))
    log.unlink()
    log.write_bytes(FIRST * 4)
    assert sum(len(follower.read(10)) for _ in range(3)) == 4


def test_logs_that_differ_in_a_number_do_not_wait_for_each_other(tmp_path, follow):
    """Unless one was rotated to the other."""
    (tmp_path / "worker.1.log").write_bytes(FIRST)
    (tmp_path / "worker.2.log").write_bytes(lines(b"much", 100_000))
    follower = follow(tmp_path / "*.log")
    follower.take(next(follower.batches))
    assert FIRST in follower.records


def test_what_comes_to_a_compressed_file_is_learnt(log, follow):
    """As another member, after it was finished; also after a restart."""
    packed = log.with_name("app.log.1.gz")
    packed.write_bytes(gzip.compress(SECOND))
    follower = follow(log.with_name("app.log*"))
    assert sorted(follower.read(10) + follower.read(10)) == [FIRST, SECOND]
    append(packed, gzip.compress(b"third\n"))
    assert follower.read(10) + follower.read(10) == [b"third\n"]
    append(packed, gzip.compress(b"fourth\n"))
    again = follow(log.with_name("app.log*"), positions=follower.positions)
    assert again.read(10) + again.read(10) == [b"fourth\n"]


def test_a_file_that_cannot_be_read_does_not_keep_losses_from_being_told(
    log, follow, monkeypatch, caplog
):
    """Not for long in its own folder, and not at all in others; nor does a link to itself."""
    other = log.with_name("sub") / "other.log"
    other.parent.mkdir()
    other.write_bytes(FIRST)
    other.with_name("other.log.1").symlink_to("other.log.1")
    follower = follow(log, other)
    follower.read()
    follower.close()
    secret = log.with_name("app.log.1")
    secret.write_bytes(b"secret\n")
    log.unlink()
    other.unlink()
    real = contents.Input

    def locked(path, start=0):
        if path == str(secret):
            error = PermissionError(errno.EACCES, "Permission denied")
            msg = f"{path} cannot be read"
            raise SourceError(msg) from error
        return real(path, start)

    monkeypatch.setattr(contents, "Input", locked)
    again = follow(log, other, positions=follower.positions)
    again.read(1)
    again.read(10)
    again.read(10)
    assert f"{other} was deleted" in caplog.text
    assert f"{log} was deleted" not in caplog.text
    again.read(61)
    again.read(10)
    assert f"{log} was deleted" in caplog.text


def test_files_that_are_renamed_while_they_are_looked_at(log, follow, monkeypatch):
    """What one holds says nothing of the other one that has its name by then."""
    before = lines(b"before", 100)
    log.write_bytes(before)
    follower = follow(log)
    follower.read()
    log.rename(log.with_name("app.log.1"))
    log.write_bytes(b"new\n")
    assert follower.read(10) + follower.read(10) + follower.read(10) == [b"new\n"]
    follower.close()
    first, second = log.with_name("app.log.1.gz"), log.with_name("app.log.2.gz")
    log.with_name("app.log.1").unlink()
    first.write_bytes(gzip.compress(SECOND))
    listing = folders.Folders.listing

    def rotated_then(*arguments):
        found = listing(*arguments)
        if not second.exists():
            first.rename(second)
            first.write_bytes(gzip.compress(before))
        return found

    monkeypatch.setattr(folders.Folders, "listing", rotated_then)
    again = follow(log, positions=follower.positions)
    assert [line for _ in range(5) for line in again.read(10)] == [SECOND]


def test_a_glob_that_is_added_means_what_was_there_before(log, follow):
    """With the same positions."""
    log.with_name("app.log.1").write_bytes(b"old\n")
    follower = follow(log)
    assert follower.read() == [FIRST]
    again = follow(log.with_name("app.log*"), positions=follower.positions)
    assert again.read() == [b"old\n"]


def test_a_damaged_compressed_file_is_reported_and_holds_up_nothing(log, follow, caplog):
    """After some time: it may be that it is being written."""
    packed = gzip.compress(os.urandom(1000).hex().encode() + b"\n" + SECOND)
    (log.with_name("app.log.1.gz")).write_bytes(packed[:-100])
    follower = follow(log.with_name("app.log*"))
    assert FIRST in follower.read(1)
    assert "damaged" not in caplog.text
    follower.read(10)
    follower.read(10)
    assert "is damaged or cut short" in caplog.text
    append(log, SECOND)
    assert SECOND in follower.read()


# As a source.


def test_the_source_follows_if_asked(log):
    """And else ends at the end."""
    assert isinstance(open_source(str(log), follow=True), FollowSource)
    assert isinstance(open_source(f"file://{log}", follow=False), FileSource)
    with pytest.raises(ConfigError, match="standard input cannot be followed"):
        open_source("-", follow=True)
    with pytest.raises(SourceNotFoundError, match="is a directory: name its files"):
        open_source(str(log.parent), follow=True)
    os.mkfifo(log.with_name("pipe"))
    with pytest.raises(ConfigError, match="pipe is no file that grows"):
        open_source(str(log.with_name("pipe")), follow=True)
    with pytest.raises(ConfigError, match="start must be earliest or latest, not soon"):
        open_source(str(log), follow=True, start="soon")


def test_it_goes_on_where_a_file_source_was(log, tmp_path, follow):
    """A compressed file that was finished stays finished."""
    packed = tmp_path / "old.gz"
    packed.write_bytes(gzip.compress(b"old\n"))
    with FileSource([log, packed]) as source:
        positions = list(source)[-1].positions
    append(log, SECOND)
    follower = follow(log, packed, positions=positions)
    assert follower.read() == [SECOND]


def test_it_can_end_at_the_end(log):
    """What has no line break is left for the next time."""
    append(log, b"half")
    with FollowSource(log, follow=False) as source:
        batches = list(source)
    assert [bytes(batch.data) for batch in batches if len(batch)] == [FIRST]
    append(log, b" and half\n")
    with FollowSource(log, follow=False) as source:
        source.seek(batches[-1].positions)
        assert b"".join(bytes(batch.data) for batch in source) == b"half and half\n"


def test_what_is_written_is_read_soon_and_closing_ends_it(log):
    """An idle source yields empty batches; another thread may close it."""
    source = FollowSource(log)
    got: list[tuple[float, bytes]] = []

    def run():
        for batch in source:
            got.append((time.monotonic(), bytes(batch.data)))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        end = time.monotonic() + 10
        while FIRST not in [data for _, data in got]:
            assert time.monotonic() < end
            time.sleep(0.01)
        written = time.monotonic()
        append(log, SECOND)
        while SECOND not in [data for _, data in got]:
            assert time.monotonic() < end
            time.sleep(0.01)
        many = len(got)
        while len(got) < many + 3:
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        source.close()
        thread.join(10)
    assert not thread.is_alive()
    assert got[-1][1] == b""
    assert written < end


def test_more_files_than_may_be_open_at_first(tmp_path, follow):
    """The soft limit is raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len([*Path("/proc/self/fd").iterdir()])
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        for number in range(60):
            (tmp_path / f"{number}.log").write_bytes(b"%d\n" % number)
        follower = follow(tmp_path / "*.log")
        assert sorted(follower.read()) == sorted(b"%d\n" % number for number in range(60))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
