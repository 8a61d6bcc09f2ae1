"""Records and name-value pairs: bytes from the specification, any slicing, nonsense."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.wire import records
from itkwsgi.wire.records import PieceReader, ProtocolError, decode_pairs, encode_pairs, encode_record, encode_stream


def pieces_of(data, cuts):
    """Feed ``data`` cut at these places; all pieces."""
    reader = PieceReader()
    found = []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        reader.feed(data[start:end])
        while (piece := reader.next_piece()) is not None:
            found.append(piece)
    return found


def joined(pieces):
    """Pieces put together to records again."""
    whole, content = [], b""
    for kind, request_id, data, last in pieces:
        content += data
        if last:
            whole.append((kind, request_id, content))
            content = b""
    assert content == b""
    return whole


RECORDS = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 65535), st.binary(max_size=300), st.integers(0, 255)), max_size=8
)


@given(RECORDS, st.lists(st.integers(0, 4000)))
def test_records_come_back_however_they_are_cut_and_padded(wanted, cuts):
    data = b"".join(
        bytes([1, kind]) + number.to_bytes(2, "big") + len(content).to_bytes(2, "big") + bytes([pad, 0])
        + content + b"p" * pad
        for kind, number, content, pad in wanted
    )  # fmt: skip
    found = pieces_of(data, cuts)
    assert joined(found) == [(kind, number, content) for kind, number, content, _ in wanted]
    assert [piece for piece in found if not piece[2]] == [
        (k, n, b"", True) for k, n, content, _ in wanted if not content
    ]


def test_content_is_given_out_before_its_record_is_complete():
    reader = PieceReader()
    reader.feed(encode_record(records.STDOUT, 1, b"x" * 1000)[:108])
    assert reader.next_piece() == (records.STDOUT, 1, b"x" * 100, False)
    assert reader.next_piece() is None


def test_another_version_is_refused_and_stays_refused():
    reader = PieceReader()
    reader.feed(b"\x02" + encode_record(records.STDOUT, 1, b"abc")[1:] * 3)
    for _ in range(2):
        with pytest.raises(ProtocolError, match="version 2"):
            reader.next_piece()


@pytest.mark.parametrize(
    ("size", "sizes"), [(0, []), (1, [1]), (65535, [65535]), (65536, [65535, 1]), (131071, [65535, 65535, 1])]
)
def test_a_stream_is_cut_into_records_that_fit(size, sizes):
    data = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    found = pieces_of(encode_stream(records.STDIN, 7, data), [])
    assert [len(content) for _, _, content, _ in found] == sizes
    assert b"".join(content for _, _, content, _ in found) == data


# The pairs of appendix B of the specification.
SPECIFIED = b"\013\002SERVER_PORT80\013\016SERVER_ADDR199.170.183.42"


def test_pairs_of_the_specification():
    pairs = {b"SERVER_PORT": b"80", b"SERVER_ADDR": b"199.170.183.42"}
    assert decode_pairs(SPECIFIED) == pairs
    assert encode_pairs(pairs.items()) == SPECIFIED


@pytest.mark.parametrize("name_size", [0, 1, 127, 128, 300])
@pytest.mark.parametrize("value_size", [0, 1, 127, 128, 70000])
def test_lengths_of_one_and_of_four_bytes(name_size, value_size):
    pair = (b"n" * name_size, b"v" * value_size)
    encoded = encode_pairs([pair, (b"last", b"one")])
    assert decode_pairs(encoded) == dict([pair, (b"last", b"one")])


def test_each_of_the_four_forms_is_read():
    assert decode_pairs(b"\x01\x80\x00\x00\x02abc" + b"\x80\x00\x00\x01\x02xyz") == {b"a": b"bc", b"x": b"yz"}


def test_the_last_of_two_equal_names_holds():
    assert decode_pairs(encode_pairs([(b"A", b"1"), (b"A", b"2")])) == {b"A": b"2"}


@given(st.dictionaries(st.binary(max_size=200), st.binary(max_size=200)))
def test_pairs_come_back_as_they_were(pairs):
    assert decode_pairs(encode_pairs(pairs.items())) == pairs


@given(st.dictionaries(st.binary(max_size=150), st.binary(max_size=150), min_size=1), st.data())
def test_pairs_that_were_cut_are_refused(pairs, data):
    whole = encode_pairs(pairs.items())
    boundaries = {len(encode_pairs(list(pairs.items())[:count])) for count in range(len(pairs) + 1)}
    cut = data.draw(st.integers(0, len(whole)).filter(lambda at: at not in boundaries))
    with pytest.raises(ProtocolError):
        decode_pairs(whole[:cut])


@given(st.binary(max_size=60))
def test_random_pairs_are_read_or_refused(data):
    try:
        pairs = decode_pairs(data)
    except ProtocolError:
        return
    assert sum(len(name) + len(value) + 2 for name, value in pairs.items()) <= len(data)
