"""FastCGI: the specification's bytes, both directions in any slicing, and what neither side may say."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.errors import AppError
from itkwsgi.wire import fastcgi
from itkwsgi.wire.answers import AnswerDecoder
from itkwsgi.wire.fastcgi import (
    Deadline,
    GetValues,
    ProtocolError,
    RequestAborted,
    RequestBegun,
    RequestDecoder,
    RequestEnded,
    RequestParams,
    RequestRefused,
    StderrData,
    StdinData,
    StdinEnd,
    StdoutData,
    UnknownRecord,
    decode_simple_request,
)
from itkwsgi.wire.records import HEADER, encode_pairs, encode_record

CUTS = st.lists(st.integers(0, 10**6), max_size=12)
SIMPLE_PARAMS = st.dictionaries(st.binary(min_size=1, max_size=150), st.binary(max_size=300), min_size=1, max_size=8)
PARAMS = st.dictionaries(st.binary(min_size=1, max_size=150), st.binary(max_size=300), max_size=12)


def events_of(decoder, data, cuts=()):
    """Feed ``data`` cut at these places; all events, pieces of one stream that follow each other put together."""
    found: list[Any] = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        decoder.feed(data[start:end])
        while (event := decoder.next_event()) is not None:
            if found and type(event) is type(found[-1]) and hasattr(event, "data"):
                event = type(event)(found.pop().data + event.data)
            found.append(event)
    return found


def record(kind, content=b"", request_id=1):
    return encode_record(kind, request_id, content)


def begin(request_id=1, role=fastcgi.RESPONDER, flags=0):
    return record(fastcgi.BEGIN_REQUEST, bytes([0, role, flags, 0, 0, 0, 0, 0]), request_id)


HEAD = fastcgi.encode_request_head([(b"A", b"1")])
BEGUN = RequestBegun(fastcgi.RESPONDER, False, 1)


# --- The specification's own bytes (appendix B, the first three examples)

SPECIFIED_PARAMS = b"\013\002SERVER_PORT80\013\016SERVER_ADDR199.170.183.42"


def test_a_request_head_byte_by_byte():
    head = fastcgi.encode_request_head([(b"SERVER_PORT", b"80"), (b"SERVER_ADDR", b"199.170.183.42")])
    assert head == (
        b"\x01\x01\x00\x01\x00\x08\x00\x00" + b"\x00\x01\x00\x00\x00\x00\x00\x00"
        + b"\x01\x04\x00\x01\x00\x2a\x00\x00" + SPECIFIED_PARAMS
        + b"\x01\x04\x00\x01\x00\x00\x00\x00"
    )  # fmt: skip


def test_the_specification_s_second_request_padded_is_understood():
    data = (
        b"\x01\x01\x00\x01\x00\x08\x00\x00" + b"\x00\x01\x00\x00\x00\x00\x00\x00"
        + b"\x01\x04\x00\x01\x00\x14\x04\x00" + b"\013\002SERVER_PORT80\013\016SER" + b"????"
        + b"\x01\x04\x00\x01\x00\x16\x02\x00" + b"VER_ADDR199.170.183.42" + b"??"
        + b"\x01\x04\x00\x01\x00\x00\x00\x00"
        + b"\x01\x05\x00\x01\x00\x19\x07\x00" + b"quantity=100&item=3047936" + b"???????"
        + b"\x01\x05\x00\x01\x00\x00\x00\x00"
    )  # fmt: skip
    assert events_of(RequestDecoder(), data) == [
        BEGUN,
        RequestParams({b"SERVER_PORT": b"80", b"SERVER_ADDR": b"199.170.183.42"}),
        StdinData(b"quantity=100&item=3047936"),
        StdinEnd(),
    ]


def test_the_specification_s_answer_byte_by_byte():
    text = b"Content-type: text/html\r\n\r\n<html>\n<head> ... "
    data = (
        b"\x01\x06\x00\x01\x00\x2d\x00\x00" + text
        + b"\x01\x06\x00\x01\x00\x00\x00\x00"
        + b"\x01\x03\x00\x01\x00\x08\x00\x00" + b"\x00\x00\x00\x00\x00\x00\x00\x00"
    )  # fmt: skip
    assert fastcgi.encode_stdout(text) + fastcgi.encode_stdout_end() + fastcgi.encode_end_request() == data
    assert events_of(AnswerDecoder(), data) == [StdoutData(text), RequestEnded(0, fastcgi.REQUEST_COMPLETE)]


def test_the_specification_s_failing_application():
    end = b"\x01\x03\x00\x01\x00\x08\x00\x00" + b"\x00\x00\x03\xaa\x00\x00\x00\x00"
    assert fastcgi.encode_end_request(938) == end
    data = (
        record(fastcgi.STDOUT, b"Content-type: text/html\r\n\r\n<ht")
        + record(fastcgi.STDERR, b"config error: missing SI_UID\n")
        + record(fastcgi.STDOUT, b"ml>\n<head> ... ")
        + record(fastcgi.STDOUT)
        + record(fastcgi.STDERR)
        + end
    )
    assert events_of(AnswerDecoder(), data) == [
        StdoutData(b"Content-type: text/html\r\n\r\n<ht"),
        StderrData(b"config error: missing SI_UID\n"),
        StdoutData(b"ml>\n<head> ... "),
        RequestEnded(938, fastcgi.REQUEST_COMPLETE),
    ]


def test_management_answers_byte_by_byte():
    assert fastcgi.encode_unknown_type(77) == b"\x01\x0b\0\0\0\x08\0\0" + b"\x4d\0\0\0\0\0\0\0"
    assert fastcgi.encode_get_values_result([(b"FCGI_MPXS_CONNS", b"0")]) == (
        b"\x01\x0a\0\0\0\x12\0\0" + b"\x0f\x01FCGI_MPXS_CONNS0"
    )


# --- Round trips


@given(PARAMS, st.binary(max_size=500), st.booleans(), st.integers(1, 65535), CUTS)
def test_a_request_comes_back_however_it_is_cut(params, body, keep_conn, number, cuts):
    data = fastcgi.encode_request_head(params.items(), keep_conn=keep_conn, request_id=number)
    data += fastcgi.encode_stdin(body, number) if body else b""
    data += fastcgi.encode_stdin(b"", number)
    wanted = [RequestBegun(fastcgi.RESPONDER, keep_conn, number), RequestParams(params)]
    wanted += [StdinData(body)] if body else []
    assert events_of(RequestDecoder(), data, cuts) == [*wanted, StdinEnd()]


@given(st.binary(max_size=500), st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(1, 65535), CUTS)
def test_an_answer_comes_back_however_it_is_cut(body, app_status, protocol_status, number, cuts):
    data = fastcgi.encode_stdout(body, number) + fastcgi.encode_stdout_end(number)
    data += fastcgi.encode_end_request(app_status, protocol_status, number)
    wanted = [StdoutData(body)] if body else []
    assert events_of(AnswerDecoder(number), data, cuts) == [*wanted, RequestEnded(app_status, protocol_status)]


def test_large_bodies_and_parameters_take_several_records():
    params = {b"COOKIE": b"c" * 70_000}
    body = b"0123456789" * 20_000
    data = fastcgi.encode_request_head(params.items()) + fastcgi.encode_stdin(body) + fastcgi.encode_stdin(b"")
    assert events_of(RequestDecoder(), data, range(0, len(data), 4096)) == [
        BEGUN, RequestParams(params), StdinData(body), StdinEnd(),
    ]  # fmt: skip


# --- Nonsense

FRAMES = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, 0, 2]), st.sampled_from([*range(13), 200]), st.binary(max_size=12)).map(
        lambda row: encode_record(row[1], row[0], row[2])
    ),
    max_size=12,
).map(b"".join)


@given(st.one_of(st.binary(max_size=100), FRAMES), CUTS)
def test_random_bytes_raise_nothing_but_a_protocol_error(data, cuts):
    for decoder in (RequestDecoder(), AnswerDecoder()):
        try:
            events_of(decoder, data, cuts)
        except ProtocolError:
            with pytest.raises(ProtocolError):
                raise_again(decoder)


def raise_again(decoder):
    """After an error a caller hangs up; should it not, the decoder must at least not fail in another way."""
    while decoder.next_event() is not None:
        continue
    raise ProtocolError("nothing more")


def test_a_protocol_error_is_the_site_s_fault():
    assert issubclass(ProtocolError, AppError)
    assert ProtocolError.status == 502


@pytest.mark.parametrize(
    "data",
    [
        begin(request_id=0),
        begin() + begin(),
        record(fastcgi.BEGIN_REQUEST, b"\0\1\0\0\0\0\0"),
        record(fastcgi.BEGIN_REQUEST, b"\0\1\0\0\0\0\0\0\0"),
        record(fastcgi.BEGIN_REQUEST),
        begin() + fastcgi.encode_stdin(b"early"),
        HEAD + record(fastcgi.PARAMS, b"\1\1ab"),
        HEAD + record(fastcgi.PARAMS),
        HEAD + fastcgi.encode_stdin(b"") + fastcgi.encode_stdin(b"late"),
        HEAD + fastcgi.encode_stdin(b"") + fastcgi.encode_stdin(b""),
        HEAD + fastcgi.encode_stdout(b"the wrong way"),
        HEAD + record(fastcgi.END_REQUEST, b"\0" * 8),
        HEAD + record(99, b"x"),
        begin() + record(fastcgi.PARAMS, b"\5\5short") + record(fastcgi.PARAMS),
        HEAD + fastcgi.encode_deadline(1),
        b"\x02" + HEAD[1:],
    ],
)
def test_what_a_web_server_may_not_say(data):
    with pytest.raises(ProtocolError):
        events_of(RequestDecoder(), data)


@pytest.mark.parametrize(
    "data",
    [
        fastcgi.encode_stdout(b"x", 2),
        fastcgi.encode_stdout(b"x", 0),
        fastcgi.encode_stdin(b"x"),
        begin(),
        fastcgi.encode_unknown_type(3),
        fastcgi.encode_stdout_end() + fastcgi.encode_stdout(b"more"),
        fastcgi.encode_end_request() + fastcgi.encode_stdout(b"x"),
        fastcgi.encode_end_request() + fastcgi.encode_end_request(),
        record(fastcgi.END_REQUEST, b"\0" * 7),
        record(fastcgi.END_REQUEST, b"\0" * 9),
        record(fastcgi.END_REQUEST),
        b"HTTP/1.1 200 OK\r\n\r\n",
        fastcgi.encode_stdout(b"x") + fastcgi.encode_deadline(1),
        fastcgi.encode_stdout_end() + fastcgi.encode_deadline(1),
        fastcgi.encode_end_request() + fastcgi.encode_deadline(1),
        fastcgi.encode_deadline(1) + fastcgi.encode_deadline(None),
        fastcgi.encode_deadline(1, request_id=2),
        record(fastcgi.DEADLINE, b"\0" * 7),
        record(fastcgi.DEADLINE, b"\0" * 9),
        record(fastcgi.DEADLINE),
    ],
)
def test_what_a_pool_may_not_say(data):
    with pytest.raises(ProtocolError):
        events_of(AnswerDecoder(), data)


def test_parameters_are_capped_before_they_end():
    decoder = RequestDecoder()
    events_of(decoder, begin())
    chunk = record(fastcgi.PARAMS, b"x" * 65535)
    for _ in range(fastcgi.MAX_PARAMS // 65535):
        assert events_of(decoder, chunk) == []
    with pytest.raises(ProtocolError, match="parameters"):
        events_of(decoder, chunk)


def test_an_answer_s_data_is_given_out_before_its_record_is_complete():
    decoder = AnswerDecoder()
    whole = fastcgi.encode_stdout(b"y" * 60_000)
    decoder.feed(whole[:1008])
    assert decoder.next_event() == StdoutData(b"y" * 1000)
    assert decoder.next_event() is None


def test_a_truncated_answer_has_no_end():
    data = fastcgi.encode_stdout(b"hello") + fastcgi.encode_stdout_end() + fastcgi.encode_end_request()
    for cut in range(len(data)):
        assert not any(isinstance(event, RequestEnded) for event in events_of(AnswerDecoder(), data[:cut]))


def test_an_answer_may_end_without_closing_its_stream():
    data = fastcgi.encode_stdout(b"hello") + fastcgi.encode_end_request()
    assert events_of(AnswerDecoder(), data) == [StdoutData(b"hello"), RequestEnded(0, 0)]


# --- Our own record


@pytest.mark.parametrize(("seconds", "told"), [(30, 30.0), (0.25, 0.25), (0.0001, 0.001), (None, None), (0, None)])
def test_a_deadline_byte_by_byte_and_back(seconds, told):
    data = fastcgi.encode_deadline(seconds)
    assert data == b"\x01\xc8\x00\x01\x00\x08\x00\x00" + int((told or 0) * 1000).to_bytes(8, "big")
    assert events_of(AnswerDecoder(), data) == [Deadline(told)]


@given(st.floats(0.001, 366 * 24 * 3600.0), st.integers(1, 65535), CUTS)
def test_a_deadline_comes_before_the_answer_however_it_is_cut(seconds, number, cuts):
    data = fastcgi.encode_deadline(seconds, number) + record(fastcgi.STDERR, b"said", number)
    data += fastcgi.encode_stdout(b"hello", number) + fastcgi.encode_end_request(request_id=number)
    deadline, *rest = events_of(AnswerDecoder(number), data, cuts)
    assert deadline.seconds == pytest.approx(seconds, abs=0.001)
    assert rest == [StderrData(b"said"), StdoutData(b"hello"), RequestEnded(0, 0)]


# --- Roles


@given(PARAMS, st.integers(1, 65535), CUTS)
def test_an_authorizer_is_asked_with_the_head_alone(params, number, cuts):
    data = fastcgi.encode_request_head(params.items(), role=fastcgi.AUTHORIZER, request_id=number)
    assert decode_simple_request(data) is None
    assert events_of(RequestDecoder(), data, cuts) == [
        RequestBegun(fastcgi.AUTHORIZER, False, number), RequestParams(params),
    ]  # fmt: skip


@given(SIMPLE_PARAMS, st.integers(0, 65535))
def test_the_shortcut_is_for_responders_alone(params, role):
    head = fastcgi.encode_request_head(params.items(), role=role)
    found = decode_simple_request(head + fastcgi.encode_stdin(b""))
    assert (found is not None) == (role == fastcgi.RESPONDER)


# --- Connections that live on


def test_a_second_request_on_a_busy_connection_is_refused_and_its_records_are_ignored():
    other = fastcgi.encode_request_head([(b"B", b"2")], request_id=2) + fastcgi.encode_stdin(b"", 2)
    data = HEAD + other + fastcgi.encode_stdin(b"body") + fastcgi.encode_stdin(b"")
    assert events_of(RequestDecoder(), data) == [
        BEGUN, RequestParams({b"A": b"1"}), RequestRefused(2), StdinData(b"body"), StdinEnd(),
    ]  # fmt: skip


def test_records_of_unknown_requests_are_ignored():
    data = fastcgi.encode_stdin(b"x", 5) + record(fastcgi.ABORT_REQUEST, request_id=6) + record(99, b"x", 7) + HEAD
    assert events_of(RequestDecoder(), data) == [BEGUN, RequestParams({b"A": b"1"})]


def test_data_records_are_ignored():
    data = HEAD + record(fastcgi.DATA, b"file") + record(fastcgi.DATA) + fastcgi.encode_stdin(b"")
    assert events_of(RequestDecoder(), data) == [BEGUN, RequestParams({b"A": b"1"}), StdinEnd()]


def test_the_next_request_on_a_kept_connection():
    decoder = RequestDecoder()
    head = fastcgi.encode_request_head([(b"A", b"1")], keep_conn=True)
    assert events_of(decoder, head)[0] == RequestBegun(fastcgi.RESPONDER, True, 1)
    decoder.reset()
    assert decoder.request_id == 0
    late = fastcgi.encode_stdin(b"not read by the app") + fastcgi.encode_stdin(b"")
    assert events_of(decoder, late + HEAD + fastcgi.encode_stdin(b"")) == [
        BEGUN, RequestParams({b"A": b"1"}), StdinEnd(),
    ]  # fmt: skip


def test_reset_within_a_record_of_the_old_request():
    decoder = RequestDecoder()
    body = fastcgi.encode_stdin(b"z" * 100)
    assert events_of(decoder, HEAD + body[:50])[-1] == StdinData(b"z" * 42)
    decoder.reset()
    assert events_of(decoder, body[50:] + begin(3)) == [RequestBegun(fastcgi.RESPONDER, False, 3)]


def test_after_an_abort_the_rest_of_the_request_is_ignored():
    data = HEAD + record(fastcgi.ABORT_REQUEST) + fastcgi.encode_stdin(b"x") + record(fastcgi.PARAMS, b"\1\1ab")
    assert events_of(RequestDecoder(), data) == [BEGUN, RequestParams({b"A": b"1"}), RequestAborted()]


def test_another_role_is_the_caller_s_to_refuse():
    assert events_of(RequestDecoder(), begin(role=2)) == [RequestBegun(2, False, 1)]


def test_management_records_at_any_time():
    values = record(fastcgi.GET_VALUES, encode_pairs([(b"FCGI_MAX_CONNS", b""), (b"FCGI_MPXS_CONNS", b"")]), 0)
    data = values + HEAD + record(55, b"what?", 0) + fastcgi.encode_stdin(b"")
    assert events_of(RequestDecoder(), data, [3, 9, 20, 30]) == [
        GetValues((b"FCGI_MAX_CONNS", b"FCGI_MPXS_CONNS")),
        BEGUN,
        RequestParams({b"A": b"1"}),
        UnknownRecord(55),
        StdinEnd(),
    ]


def test_events_compare_by_what_they_say():
    assert StdinData(b"a") == StdinData(b"a") != StdinData(b"b")
    assert StdinData(b"a") != StdoutData(b"a")
    assert len({StdinEnd(), StdinEnd(), RequestAborted()}) == 2
    assert repr(RequestEnded(1, 2)) == "RequestEnded(app_status=1, protocol_status=2)"


# --- The shortcut for requests without a body


def simple_request(params, request_id=1, *, padding=0, keep_conn=False):
    """A request without a body; ``padding`` bytes behind its parameters."""
    pairs = encode_pairs(params.items())
    params_record = HEADER.pack(1, fastcgi.PARAMS, request_id, len(pairs), padding) + pairs + b"?" * padding
    head = begin(request_id, flags=int(keep_conn)) + params_record + record(fastcgi.PARAMS, b"", request_id)
    return head + fastcgi.encode_stdin(b"", request_id)


@given(SIMPLE_PARAMS, st.integers(1, 65535), st.integers(0, 255), st.booleans())
def test_a_whole_request_without_a_body_is_read_at_once(params, number, padding, keep_conn):
    data = simple_request(params, number, padding=padding, keep_conn=keep_conn)
    assert decode_simple_request(data) == (number, params)


@given(SIMPLE_PARAMS, st.integers(1, 65535), st.booleans())
def test_what_the_front_sends_is_such_a_request(params, number, keep_conn):
    head = fastcgi.encode_request_head(params.items(), keep_conn=keep_conn, request_id=number)
    assert decode_simple_request(head + fastcgi.encode_stdin(b"", number)) == (number, params)


@given(SIMPLE_PARAMS, st.integers(0, 10**6), st.binary(min_size=1, max_size=40))
def test_nothing_shorter_or_longer_is(params, cut, more):
    data = simple_request(params)
    assert decode_simple_request(data[: cut % len(data)]) is None
    assert decode_simple_request(data + more) is None
    assert decode_simple_request(data + data) is None


@given(SIMPLE_PARAMS, st.binary(min_size=1, max_size=300))
def test_nothing_with_a_body_is(params, body):
    head = fastcgi.encode_request_head(params.items())
    assert decode_simple_request(head + fastcgi.encode_stdin(body) + fastcgi.encode_stdin(b"")) is None


ALTERED = st.tuples(
    st.builds(simple_request, SIMPLE_PARAMS, st.integers(1, 400), padding=st.integers(0, 9)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
).map(lambda drawn: altered(*drawn))


def altered(data, changes):
    """Some bytes replaced, more often those of the records' headers."""
    changed = bytearray(data)
    for place, value in changes:
        at = place % len(data) if place % 3 else (place // 3) % 24 - 16 * (place % 2)
        changed[at] = value
    return bytes(changed)


@given(st.one_of(ALTERED, FRAMES, st.binary(max_size=100)))
def test_whatever_the_shortcut_says_the_long_way_says_too(data):
    decoder = RequestDecoder()
    try:
        found = decode_simple_request(data)
    except ProtocolError:
        with pytest.raises(ProtocolError):
            events_of(decoder, data)
        return
    if found is not None:
        begun, *rest = events_of(decoder, data)
        assert (begun.role, begun.request_id) == (fastcgi.RESPONDER, found[0])
        assert rest == [RequestParams(found[1]), StdinEnd()]
        assert decoder.request_id == found[0]


@pytest.mark.parametrize("pairs", [b"\1", b"\1\1a", b"\5\5short", b"\x80\0\0", b"\xff\xff\xff\xff\0"])
def test_broken_parameters_are_an_error_either_way(pairs):
    data = begin() + record(fastcgi.PARAMS, pairs) + record(fastcgi.PARAMS) + fastcgi.encode_stdin(b"")
    with pytest.raises(ProtocolError):
        decode_simple_request(data)
    with pytest.raises(ProtocolError):
        events_of(RequestDecoder(), data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        fastcgi.encode_request_head([]) + fastcgi.encode_stdin(b""),  # no parameters
        b"\2" + simple_request({b"A": b"1"})[1:],
        begin(role=2) + simple_request({b"A": b"1"})[16:],
        begin(2) + simple_request({b"A": b"1"})[16:],
        simple_request({b"A": b"1"}, 2)[:-16].replace(b"\1\4\0\2", b"\1\4\0\1") + simple_request({b"A": b"1"}, 2)[-16:],
        begin() + record(fastcgi.PARAMS) + record(fastcgi.PARAMS) + fastcgi.encode_stdin(b""),
        begin(0) + simple_request({b"A": b"1"}, 0)[16:],
        simple_request({b"A": b"1"})[:-8] + fastcgi.encode_stdin(b"", 2),
        simple_request({b"A": b"1"})[:-8] + record(fastcgi.DATA),
        simple_request({b"A": b"1"})[:-8] + record(fastcgi.ABORT_REQUEST),
    ],
)
def test_other_requests_take_the_long_way(data):
    assert decode_simple_request(data) is None
