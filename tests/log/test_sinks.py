"""Sinks: full disks, short writes, readers that are gone or asleep; real files where the kernel can be had to fail."""

import errno
import os
import resource
import signal

import pytest

from itkwsgi.log import sinks
from itkwsgi.log.sinks import Sink, replace


@pytest.fixture
def path(tmp_path):
    return tmp_path / "error.log"


def appending(path):
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@pytest.fixture
def sink(path):
    sink = Sink(appending(path), "the error log")
    yield sink
    sink.close()


def test_a_batch_is_one_write(sink, path, monkeypatch):
    calls = []
    real = os.write
    monkeypatch.setattr(sinks.os, "write", lambda fd, data: calls.append(len(data)) or real(fd, data))
    data = b"line\n" * 100_000
    assert sink.write(data) == 0
    assert calls == [len(data)]
    assert path.read_bytes() == data


def test_a_full_disk_loses_lines_and_says_why():
    sink = Sink(os.open("/dev/full", os.O_WRONLY), "the error log")
    assert sink.write(b"one\ntwo\n") == 2
    assert sink.reason == os.strerror(errno.ENOSPC)
    assert sink.write(b"three\n") == 1
    sink.close()


def test_a_disk_that_fills_up_within_a_line(sink, path, monkeypatch):
    """What was torn gets its end before the next line begins."""
    real = os.write
    room = [10]

    def write_with_room(fd, data):
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(fd, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(sinks.os, "write", write_with_room)
    assert sink.write(b"first\nsecond\nthird\n") == 2
    assert path.read_bytes() == b"first\nseco"
    assert sink.write(b"fourth\n") == 1
    room[0] = 1000
    assert sink.write(b"fifth\n") == 0
    assert sink.write(b"sixth\n") == 0
    assert path.read_bytes() == b"first\nseco\nfifth\nsixth\n"


def test_a_disk_that_fills_up_between_two_lines(sink, path, monkeypatch):
    real = os.write
    answers = [6, OSError(errno.EIO, "no")]

    def write_once(fd, data):
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return real(fd, data[:answer])

    monkeypatch.setattr(sinks.os, "write", write_once)
    assert sink.write(b"first\nsecond\n") == 1
    monkeypatch.undo()
    assert sink.write(b"third\n") == 0
    assert path.read_bytes() == b"first\nthird\n"


def test_a_size_limit_of_the_kernel_is_no_signal(path):
    """RLIMIT_FSIZE: a short write, then EFBIG; Python ignores SIGXFSZ."""
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    sink = Sink(appending(path), "the error log")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
    try:
        lost = sink.write(b"first\nsecond\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert lost == 1
    assert sink.reason == os.strerror(errno.EFBIG)
    assert sink.write(b"third\n") == 0
    assert path.read_bytes() == b"first\nse\nthird\n"
    sink.close()


def test_a_fifo_that_nobody_reads_does_not_block_and_keeps_its_flags():
    reader, writer = os.pipe()
    sink = Sink(writer, "the error log")
    line = b"x" * 1023 + b"\n"
    lost = sink.write(line * 200)
    assert 0 < lost < 200
    assert sink.reason == "nobody reads it"
    assert os.get_blocking(writer)
    taken = os.read(reader, 1 << 20)
    assert taken == line * (200 - lost)
    assert sink.write(b"later\n") == 0
    assert os.read(reader, 100) == b"later\n"
    os.close(reader)
    assert sink.write(b"nobody\n") == 1
    assert sink.reason == os.strerror(errno.EPIPE)
    sink.close()


def test_replace_closes_the_old_one(path, sink):
    old = os.open("/dev/full", os.O_WRONLY)
    fresh = replace(Sink(old, "old"), os.dup(sink.fd), "new", takes_notes=False)
    assert fresh is not None
    assert (fresh.what, fresh.takes_notes) == ("new", False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(old)
    assert replace(fresh, None, "none") is None
    assert replace(None, None, "none") is None


def test_of_a_writer_s_own_file_all_is_the_writer_s(path):
    path.write_bytes(b"from before\n")
    sink = Sink(appending(path), "own")
    assert sink.used(7) == 12
    sink.count(7, 1000)
    assert sink.used(7) == 12
    with open(path, "ab") as other:
        other.write(b"by an older pool\n")
    assert sink.used(7) == 29
    sink.close()


def test_of_a_shared_file_each_writer_s_bytes_count_from_its_opening_on(path):
    path.write_bytes(b"x" * 1000)
    sink = Sink(appending(path), "shared", shared=True)
    assert sink.used(7) == 0
    sink.count(7, 300)
    sink.count("itkwsgi front 1", 20)
    sink.count(7, 300)
    assert (sink.used(7), sink.used("itkwsgi front 1"), sink.used(8)) == (600, 20, 0)
    fresh = replace(sink, os.dup(sink.fd), "shared", shared=True)
    assert fresh is not None
    assert fresh.used(7) == 0
    fresh.close()


def test_a_truncated_file_is_nobody_s(path):
    path.write_bytes(b"x" * 1000)
    sink = Sink(appending(path), "shared", shared=True)
    sink.count(7, 300)
    os.truncate(path, 10)
    assert sink.used(7) == 10
    os.truncate(path, 1000)
    assert sink.used(7) == 10  # it was seen to be truncated
    sink.close()


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_no_file_is_never_full(shared):
    sink = Sink(os.open("/dev/null", os.O_WRONLY), "nowhere", shared=shared)
    sink.count(7, 1 << 40)
    assert sink.used(7) == 0
    sink.close()
