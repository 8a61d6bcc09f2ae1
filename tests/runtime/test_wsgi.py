"""Calling the app: what is sent, when, and what an app may do wrong."""

import pytest

from itkwsgi.runtime.wsgi import Answer, BadAnswer, call_app
from itkwsgi.wire import fastcgi
from itkwsgi.wire.answers import AnswerDecoder
from itkwsgi.wire.cgi import AnswerHeadDecoder

TEXT = [("Content-Type", "text/plain")]


class Recorder:
    """Stands in for the connection: keeps each write."""

    def __init__(self):
        self.writes = []

    def send(self, data):
        self.writes.append(bytes(data))

    def events(self, upto=None):
        decoder = AnswerDecoder()
        decoder.feed(b"".join(self.writes[:upto]))
        return list(iter(decoder.next_event, None))

    def answer(self, upto=None):
        """(status, fields, body, ended)"""
        events = self.events(upto)
        body = b"".join(event.data for event in events if isinstance(event, fastcgi.StdoutData))
        ended = any(isinstance(event, fastcgi.RequestEnded) for event in events)
        decoder = AnswerHeadDecoder()
        head = decoder.feed(body)
        if head is None:
            return None, [], b"", ended
        return head.status, head.fields, bytes(decoder.rest), ended


def run(app, *, bodiless=False):
    recorder = Recorder()
    answer = Answer(recorder, 1, bodiless=bodiless)
    call_app(app, {}, answer)
    return recorder


def responder(pieces, headers=TEXT, status="200 OK"):
    def app(environ, start_response):
        start_response(status, headers)
        return pieces

    return app


def test_a_list_of_one_gets_a_length_and_one_write():
    recorder = run(responder([b"hello"]))
    assert len(recorder.writes) == 1
    status, fields, body, ended = recorder.answer()
    assert (status, body, ended) == (200, b"hello", True)
    assert ("Content-Length", "5") in fields


def test_a_generator_is_sent_piece_by_piece():
    recorder = Recorder()
    seen = []

    def pieces():
        yield b"one"
        seen.append(recorder.answer()[2])
        yield b"two"
        seen.append(recorder.answer()[2])

    call_app(responder(pieces()), {}, Answer(recorder, 1, bodiless=False))
    assert seen == [b"one", b"onetwo"]
    assert recorder.answer()[2:] == (b"onetwo", True)


def test_the_visitor_is_let_go_with_the_last_declared_byte():
    recorder = Recorder()
    ended_before_close = []

    class Body:
        def __iter__(self):
            return iter([b"abc"])

        def close(self):
            ended_before_close.append(recorder.answer()[3])

    call_app(responder(Body(), [*TEXT, ("Content-Length", "3")]), {}, Answer(recorder, 1, bodiless=False))
    assert ended_before_close == [True]
    assert len(recorder.writes) == 1


def test_nothing_is_sent_before_the_first_byte():
    recorder = Recorder()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b""
        assert recorder.writes == []
        raise RuntimeError("late")

    answer = Answer(recorder, 1, bodiless=False)
    with pytest.raises(RuntimeError, match="late"):
        call_app(app, {}, answer)
    assert not answer.head_sent


def test_an_answer_that_breaks_off_has_no_end():
    def pieces():
        yield b"begin"
        raise RuntimeError("broken")

    recorder = Recorder()
    with pytest.raises(RuntimeError):
        call_app(responder(pieces()), {}, Answer(recorder, 1, bodiless=False))
    assert recorder.answer()[2:] == (b"begin", False)


def test_empty_answer():
    assert run(responder([])).answer()[2:] == (b"", True)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_body(status):
    assert run(responder([b"never"], [], status)).answer()[2:] == (b"", True)


def test_head_keeps_the_length_and_drops_the_body():
    _, fields, body, ended = run(responder([b"abc"], [("Content-Length", "3")]), bodiless=True).answer()
    assert (("Content-Length", "3") in fields, body, ended) == (True, b"", True)


def test_close_is_called_after_an_error():
    closed = []

    class Body:
        def __iter__(self):
            raise RuntimeError("x")

        def close(self):
            closed.append(True)

    with pytest.raises(RuntimeError):
        run(responder(Body()))
    assert closed == [True]


def test_the_write_callable():
    def app(environ, start_response):
        start_response("200 OK", TEXT)(b"one ")
        return [b"two"]

    assert run(app).answer()[2:] == (b"one two", True)


def test_start_response_again_with_exc_info_replaces_the_head():
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        try:
            raise ValueError
        except ValueError as error:
            start_response("500 Sorry", TEXT, (ValueError, error, error.__traceback__))
        return [b"sorry"]

    assert run(app).answer()[0] == 500


def test_start_response_with_exc_info_after_the_head_raises_it():
    def app(environ, start_response):
        start_response("200 OK", TEXT)(b"sent")
        error = ValueError("too late")
        start_response("500 Sorry", TEXT, (ValueError, error, None))

    with pytest.raises(ValueError, match="too late"):
        run(app)


def no_start(environ, start_response):
    return [b"x"]


def twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return []


@pytest.mark.parametrize(
    "app",
    [
        no_start,
        twice,
        responder(["text"]),
        responder([None]),
        responder([b"x"], status="200"),
        responder([b"x"], status="OK"),
        responder([b"x"], status="200 OK\r\nX: y"),
        responder([b"x"], status=200),
        responder([b"x"], [("X-A", "a\r\nB: c")]),
        responder([b"x"], [("X-A", "a\nB: c")]),
        responder([b"x"], [("X-A", "a\x00")]),
        responder([b"x"], [("X A", "a")]),
        responder([b"x"], [("", "a")]),
        responder([b"x"], [("X-A\n", "a")]),
        responder([b"x"], [("X-A", 1)]),
        responder([b"x"], [("X-A", "snow \u2603")]),
        responder([b"x"], [("Content-Length", "-1")]),
        responder([b"x"], [("Content-Length", "one")]),
        responder([b"longer"], [("Content-Length", "3")]),
        responder([b"x"], [("Content-Length", "3")]),
    ],
)
def test_nonsense_is_refused_and_never_ends_cleanly(app):
    recorder = Recorder()
    with pytest.raises(BadAnswer):
        call_app(app, {}, Answer(recorder, 1, bodiless=False))
    assert not recorder.answer()[3]
