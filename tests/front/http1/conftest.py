"""Reading whole requests in one call."""

from __future__ import annotations

import pytest

from itkwsgi.errors import ClientError
from itkwsgi.front.http1.events import BodyChunk, EndOfRequest
from itkwsgi.front.http1.parser import Limits, RequestParser


@pytest.fixture(scope="session")
def read():
    """The events of some bytes or pieces of bytes, one request after the other, a body's pieces joined."""
    return _read


@pytest.fixture(scope="session")
def read_head():
    """The head of a request."""
    return lambda *args: _read(*args)[0]


@pytest.fixture(scope="session")
def refused():
    """The status with which some bytes, and then the end, are refused; None when they are not."""

    def status(*args):
        try:
            _read(*args, ended=True)
        except ClientError as error:
            return error.status
        return None

    return status


@pytest.fixture(scope="session")
def request_of():
    """A request from a request line, fields and a body."""

    def build(line="GET / HTTP/1.1", *fields, host="Host: a.example", body=b""):
        lines = [line, *([host] if host else []), *fields]
        return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body

    return build


def _read(pieces, limits=None, ended=False):
    parser = RequestParser(limits or Limits())
    events = []
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        parser.feed(piece)
        _drain(parser, events)
    if ended:
        parser.eof()
        _drain(parser, events)
    return events


def _drain(parser, events):
    while (event := parser.next_event()) is not None:
        if isinstance(event, BodyChunk) and isinstance(events[-1], BodyChunk):
            event = BodyChunk(events.pop().data + event.data)
        events.append(event)
        if isinstance(event, EndOfRequest):
            parser.start_next()
