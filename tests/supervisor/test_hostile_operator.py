"""Who reads what the supervisor says may be slow, or gone: it is never waited for, and its end is not ours."""

import os

import pytest

from itkwsgi.supervisor import notes as module
from itkwsgi.supervisor.notes import Notes, tell_operator


@pytest.fixture
def pipe():
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue


def fill(writer):
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        return


def test_a_full_log_loses_notes_and_tells_how_many(pipe):
    reader, writer = pipe
    notes = Notes()
    notes.log = writer
    fill(writer)
    for number in range(3):
        notes.say(f"lost {number}")
    os.read(reader, 1 << 20)
    notes.say("heard")
    assert os.read(reader, 65536) == b"heard (3 notes before this one were lost: the log was full)\n"
    notes.say("and on")
    assert os.read(reader, 65536) == b"and on\n"


def test_a_log_that_is_gone_ends_nobody(pipe):
    reader, writer = pipe
    os.close(reader)
    notes = Notes()
    notes.log = writer
    notes.say("to nobody")
    assert notes.lost == 1


@pytest.fixture
def stderr(pipe, monkeypatch):
    """The operator reads, or not, at the end of a blocking pipe."""
    reader, writer = pipe
    os.set_blocking(writer, True)
    monkeypatch.setattr(module, "OPERATOR", writer)
    return reader, writer


def test_before_there_is_a_log_the_operator_hears(stderr):
    reader, _ = stderr
    Notes().say("no log yet")
    assert os.read(reader, 100) == b"itkwsgi: no log yet\n"


def test_an_operator_who_does_not_read_holds_nobody_up(stderr):
    _, writer = stderr
    fill(writer)
    os.set_blocking(writer, True)
    tell_operator("ready")  # and comes back


def test_a_terminal_that_is_gone_ends_nobody(stderr):
    reader, _ = stderr
    os.close(reader)
    tell_operator("ready")


def test_a_long_text_comes_through_whole(stderr):
    reader, _ = stderr
    tell_operator("x" * 20_000)
    assert len(os.read(reader, 65536)) == 20_001
