"""The rehearsal: a child's whole way, some times, and no trace of it but warm code."""

import signal

import pytest

from itkwsgi.linux import fds
from itkwsgi.runtime import rehearsal as module
from itkwsgi.runtime.child import Child


class Title:
    """Keeps what is shown."""

    def __init__(self):
        self.shown = []

    def compose(self, text):
        return text

    def show(self, composed):
        self.shown.append(composed)


@pytest.fixture
def served(monkeypatch):
    """What each request of the rehearsal came to."""
    statuses = []
    serve = Child.serve

    def recording(self, sock):
        statuses.append(serve(self, sock))
        return statuses[-1]

    monkeypatch.setattr(Child, "serve", recording)
    return statuses


def test_every_request_goes_the_whole_way(served, monkeypatch):
    asked = []

    def app(environ, start_response):
        asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["wsgi.run_once"]))
        return nothing(environ, start_response)

    nothing = module.do_nothing
    monkeypatch.setattr(module, "do_nothing", app)
    title = Title()
    module.rehearse(title)
    assert asked == [("GET", "/rehearsal/x", True)] * (2 * module.TIMES)
    assert served == [0] * (2 * module.TIMES)
    assert title.shown == [b"itkwsgi: child rehearsal GET /rehearsal/x"] * (2 * module.TIMES)


def test_nothing_is_left_open_and_no_handler_changed():
    def handler(number, frame):
        raise AssertionError("a signal of the rehearsal's came out of it")

    before = signal.signal(signal.SIGUSR1, handler)
    open_before = sorted(fds.open_descriptors())
    try:
        module.rehearse(Title())
        assert signal.getsignal(signal.SIGUSR1) is handler
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert sorted(fds.open_descriptors()) == open_before
