"""What a head says of its body."""

from __future__ import annotations

import dataclasses

import pytest


@pytest.mark.parametrize(
    ("field", "has_body"),
    [("X: y", False), ("Content-Length: 0", False), ("Content-Length: 1", True), ("Transfer-Encoding: chunked", True)],
)
def test_has_body(field, has_body, read_head, request_of):
    assert read_head(request_of("POST / HTTP/1.1", field)).has_body is has_body


def test_events_cannot_be_changed(read, request_of):
    for event in read(request_of("POST / HTTP/1.1", "Content-Length: 2", body=b"hi")):
        name = next(iter(dataclasses.asdict(event)), "data")
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            setattr(event, name, None)
