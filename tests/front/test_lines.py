"""Lines into pipes: nothing breaks out of a line, nothing waits for a reader."""

import ast
import contextlib
import os
import re
import time

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.front import lines as module
from itkwsgi.front.lines import LineBatch, Notes, escape, one_line


@given(st.text(st.characters(codec="latin-1")))
def test_escaping_can_be_undone_and_ends_no_quotes(text):
    escaped = escape(text)
    assert re.fullmatch(r'(?:[ !#-\[\]-~]|\\["\\nrt]|\\x[0-9a-f]{2})*', escaped)
    assert ast.literal_eval(f'"{escaped}"') == text


@given(st.text())
def test_any_text_becomes_one_line_of_ascii(text):
    for made in (escape(text), one_line(text)):
        assert made.isascii()
        assert made.isprintable()


def test_a_note_keeps_quotes_and_backslashes():
    assert one_line('say "x\\y" \x1b\n') == 'say "x\\y" \\x1b\\n'


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    for fd in (reader, writer):
        with contextlib.suppress(OSError):  # the test closed it
            os.close(fd)


@pytest.fixture
def loop():
    loop = uvloop.new_event_loop()
    yield loop
    loop.close()


def fill(writer):
    """Write until there is no room for a page."""
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"." * 4095 + b"\n")
    except BlockingIOError:
        os.set_blocking(writer, True)


def drain(reader):
    data = b""
    try:
        while piece := os.read(reader, 1 << 20):
            data += piece
    except BlockingIOError:
        return data
    return data


def run_for(loop, seconds):
    loop.call_later(seconds, loop.stop)
    loop.run_forever()


def test_notes_are_lines(pipe):
    reader, writer = pipe
    notes = Notes(writer)
    notes.say("one\ntwo")
    notes.say("x" * 10000)
    first, second, rest = drain(reader).split(b"\n")
    assert first == b"one\\ntwo"
    assert (len(second), rest) == (4095, b"")


def test_notes_never_wait_and_count_what_they_drop(pipe):
    reader, writer = pipe
    fill(writer)
    notes = Notes(writer)
    for _ in range(3):
        notes.say("lost")
    assert notes.dropped == 3
    drain(reader)
    notes.say("kept")
    assert drain(reader) == b"kept (3 notes before this one were dropped: the log was full)\n"
    assert notes.dropped == 0


def test_notes_survive_their_reader(pipe):
    reader, writer = pipe
    notes = Notes(writer)
    os.close(reader)
    notes.say("into the void")
    assert notes.dropped == 1


def test_access_lines_are_written_together(pipe, loop):
    reader, writer = pipe
    batch = LineBatch(writer, loop, Notes(writer))
    for number in range(3):
        batch.add(b"%d\n" % number)
    assert drain(reader) == b""
    run_for(loop, module.FLUSH_SECONDS + 0.05)
    assert drain(reader) == b"0\n1\n2\n"
    batch.close()


def test_many_access_lines_are_written_before_the_time(pipe, loop):
    reader, writer = pipe
    batch = LineBatch(writer, loop, Notes(writer))
    for _ in range(20):
        batch.add(b"x" * 999 + b"\n")
    assert len(drain(reader)) >= module.FLUSH_BYTES
    batch.close()


def test_a_full_pipe_drops_whole_lines_and_tells_how_many(pipe, loop):
    reader, writer = pipe
    notes_reader, notes_writer = os.pipe()
    batch = LineBatch(writer, loop, Notes(notes_writer))
    total = 2000
    begun = time.monotonic()
    for number in range(total):
        batch.add(b"%06d %s\n" % (number, b"x" * 300))
    assert time.monotonic() - begun < 1
    dropped = batch.dropped
    assert dropped > 0
    received = b""
    for _ in range(40):
        received += drain(reader)
        run_for(loop, module.FLUSH_SECONDS / 4)
    numbers = [int(line[:6]) for line in received.splitlines() if len(line) == 307]
    assert numbers == list(range(total - dropped))
    assert os.read(notes_reader, 1000) == b"access log: %d lines were dropped: the log was full\n" % dropped
    batch.close()
    os.close(notes_reader)
    os.close(notes_writer)


def test_access_lines_survive_their_reader(pipe, loop):
    reader, writer = pipe
    notes_reader, notes_writer = os.pipe()
    batch = LineBatch(writer, loop, Notes(notes_writer))
    os.close(reader)
    batch.add(b"lost\n")
    batch.flush()
    assert os.read(notes_reader, 1000) == b"access log: 1 lines were dropped: the log was full\n"
    batch.close()
    os.close(notes_reader)
    os.close(notes_writer)
