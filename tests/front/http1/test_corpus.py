"""Whole requests, one a file: what they are stands in the name, and in data/invalid also the status they get."""

from __future__ import annotations

from pathlib import Path

import pytest

from itkwsgi.front.http1.events import EndOfRequest

DATA = Path(__file__).parent / "data"


def files(folder):
    found = sorted((DATA / folder).glob("*.http"))
    assert found
    return pytest.mark.parametrize("path", found, ids=lambda path: path.stem)


def by_octet(data):
    return [data[at : at + 1] for at in range(len(data))]


@files("valid")
def test_a_valid_request_is_read_to_its_end(path, read, refused):
    data = path.read_bytes()
    events = read(data)
    assert isinstance(events[-1], EndOfRequest)
    assert read(by_octet(data)) == events
    assert refused(data) is None


@files("valid")
def test_a_valid_request_may_end_nowhere_else(path, read, refused):
    """Cut off within a request it is refused: what is not refused leaves whole requests on both sides."""
    data = path.read_bytes()
    for at in range(len(data)):
        if refused(data[:at]) is None:
            assert read(data[:at]) + read(data[at:]) == read(data)


@files("invalid")
def test_an_invalid_request_is_refused(path, refused):
    data = path.read_bytes()
    status = int(path.stem.rpartition(".")[2])
    assert refused(data) == status
    assert refused(by_octet(data)) == status
