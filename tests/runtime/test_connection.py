"""One FastCGI connection in a child, over a pair of sockets."""

import socket
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.runtime.connection import BodyReader, Connection, VisitorGone, body_file
from itkwsgi.wire import fastcgi
from itkwsgi.wire.records import encode_pairs, encode_record

PARAMS = [(b"REQUEST_METHOD", b"GET"), (b"PATH_INFO", b"/")]
HEAD = fastcgi.encode_request_head(PARAMS)
END = fastcgi.encode_stdin(b"")


class Pair:
    """A connection and the web server's end of it."""

    def __init__(self):
        ours, self.server = socket.socketpair()
        self.server.settimeout(10)
        ours.settimeout(10)
        self.sock = ours
        self.connection = Connection(ours)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.sock.close()
        self.server.close()

    def send(self, *pieces, end=False):
        for piece in pieces:
            self.server.sendall(piece)
        if end:
            self.server.shutdown(socket.SHUT_WR)


class Slices:
    """A socket that gives out these slices, whatever is asked for."""

    def __init__(self, slices):
        self.slices = list(slices)
        self.sent = b""

    def recv(self, size):
        return self.slices.pop(0) if self.slices else b""

    def sendall(self, data):
        self.sent += data


@pytest.fixture
def pair():
    with Pair() as one:
        yield one


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


# --- the head


def test_a_simple_request_needs_no_decoder(pair):
    pair.send(HEAD + END)
    assert pair.connection.receive_head() == dict(PARAMS)
    assert not hasattr(pair.connection, "decoder")
    assert body_file(pair.connection).read() == b""


def test_nothing_at_all_is_no_request(pair):
    pair.send(end=True)
    assert pair.connection.receive_head() is None


def test_half_a_head_is_no_request(pair):
    pair.send(HEAD[:30], end=True)
    assert pair.connection.receive_head() is None


def test_a_request_that_is_given_up_before_its_parameters_end_is_none(pair):
    pair.send(HEAD[:16] + encode_record(fastcgi.ABORT_REQUEST, 1, b""))
    assert pair.connection.receive_head() is None


@given(
    st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=200), max_size=6),
    st.binary(max_size=600),
    st.integers(1, 65535),
    st.lists(st.integers(0, 10**6), max_size=10),
    st.integers(1, 300),
)
def test_a_request_is_read_however_it_arrives(params, body, number, cuts, size):
    data = fastcgi.encode_request_head(params.items(), request_id=number)
    data += fastcgi.encode_stdin(body, number) if body else b""
    data += fastcgi.encode_stdin(b"", number)
    connection = Connection(Slices(cut(data, cuts)))
    assert connection.receive_head() == params
    assert connection.request_id == number
    file = body_file(connection)
    assert b"".join(iter(lambda: file.read(size), b"")) == body
    assert file.read() == b""


# --- what else a web server may say


def answer_to(*records):
    """What a connection sends back to these, before a request."""
    sock = Slices([b"".join(records) + HEAD + END])
    connection = Connection(sock)
    assert connection.receive_head() == dict(PARAMS)
    return sock.sent


def test_values_that_are_known_are_told():
    asked = encode_pairs([(b"FCGI_MPXS_CONNS", b""), (b"FCGI_MAX_CONNS", b""), (b"FCGI_COLOUR", b"")])
    assert answer_to(encode_record(fastcgi.GET_VALUES, 0, asked)) == fastcgi.encode_get_values_result(
        [(b"FCGI_MPXS_CONNS", b"0"), (b"FCGI_MAX_CONNS", b"1")]
    )


def test_an_unknown_management_record_is_answered_so():
    assert answer_to(encode_record(77, 0, b"what")) == fastcgi.encode_unknown_type(77)


def test_a_second_request_is_refused_and_the_first_goes_on():
    sock = Slices([HEAD[:16] + fastcgi.encode_request_head(PARAMS, request_id=2) + HEAD[16:]])
    connection = Connection(sock)
    assert connection.receive_head() == dict(PARAMS)
    assert connection.request_id == 1
    assert sock.sent == fastcgi.encode_end_request(0, fastcgi.CANT_MPX_CONN, request_id=2)


def test_who_only_asks_whether_it_may_is_told_apart(pair):
    pair.send(fastcgi.encode_request_head(PARAMS, role=fastcgi.AUTHORIZER))
    assert pair.connection.receive_head() == dict(PARAMS) and pair.connection.authorizer
    pair.send(fastcgi.encode_stdin(b""))
    assert pair.connection.read_body() == b""


@pytest.mark.parametrize("role", [3, 99])
def test_another_role_is_refused(pair, role):
    pair.send(encode_record(fastcgi.BEGIN_REQUEST, 1, bytes([0, role, 0, 0, 0, 0, 0, 0])))
    with pytest.raises(VisitorGone, match=f"role {role}"):
        pair.connection.receive_head()
    assert pair.server.recv(100) == fastcgi.encode_end_request(0, fastcgi.UNKNOWN_ROLE, request_id=1)


# --- the body


def begun(pair):
    pair.send(HEAD)
    assert pair.connection.receive_head() == dict(PARAMS)
    return body_file(pair.connection)


def test_a_body_is_read_as_it_comes(pair):
    file = begun(pair)
    pair.send(fastcgi.encode_stdin(b"one\ntwo"))
    assert file.readline() == b"one\n"
    pair.send(fastcgi.encode_stdin(b" and three"), END)
    assert file.read() == b"two and three"


def test_a_body_longer_than_what_is_asked_for_loses_nothing(pair):
    pair.send(HEAD)
    pair.connection.receive_head()
    pair.send(fastcgi.encode_stdin(b"0123456789"), END)
    reader = BodyReader(pair.connection)
    assert [reader.read(4), reader.read(4), reader.read(4), reader.read(4)] == [b"0123", b"4567", b"89", b""]
    assert reader.readable()


def test_a_visitor_who_leaves_is_an_error_of_the_file(pair):
    file = begun(pair)
    pair.send(fastcgi.encode_stdin(b"the beg"), end=True)
    with pytest.raises(OSError, match="went away within the request's body"):
        file.read()


def test_a_request_that_is_given_up_is_an_error_of_the_file(pair):
    file = begun(pair)
    pair.send(encode_record(fastcgi.ABORT_REQUEST, 1, b""))
    with pytest.raises(OSError, match="gave up this request"):
        file.read()


# --- the answer


def test_what_is_sent_arrives(pair):
    pair.connection.send(b"records")
    assert pair.server.recv(100) == b"records"


def test_nobody_there_to_take_it(pair):
    pair.server.close()
    with pytest.raises(VisitorGone):
        pair.connection.send(b"records")


def test_nobody_there_any_more_who_had_sent_something(pair):
    pair.send(b"unread")
    pair.server.close()
    with pytest.raises(VisitorGone):
        pair.connection.send(b"x" * 100)


def test_other_failures_are_not_the_visitors(monkeypatch):
    class Broken(Slices):
        def sendall(self, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        Connection(Broken([])).send(b"x")
