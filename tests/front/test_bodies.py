"""Request bodies and their spool."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.front.bodies import IN_MEMORY, Body, Spool
from itkwsgi.front.refusal import Refusal


@pytest.fixture
def spool(tmp_path):
    return Spool(str(tmp_path), 1_000_000)


def whole(body):
    data = b""
    while piece := body.read(len(data), 1000):
        data += piece
    return data


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY])
def test_a_body_comes_back(spool, size):
    data = os.urandom(size)
    body = Body(spool, 0)
    for at in range(0, size, 10_000):
        body.append(data[at : at + 10_000])
    assert (body.size, whole(body)) == (size, data)
    assert spool.used == (size if size > IN_MEMORY else 0)
    body.close()
    assert spool.used == 0


@given(st.lists(st.binary(max_size=9), max_size=9), st.integers(0, 90), st.integers(0, 90))
def test_any_part_can_be_read(parts, offset, size):
    body = Body(Spool("/nowhere", 0), 0)
    for part in parts:
        body.append(part)
    assert body.read(offset, size) == b"".join(parts)[offset : offset + size]
    body.close()


def test_a_small_body_touches_no_disk(tmp_path):
    body = Body(Spool(str(tmp_path / "missing"), 0), 0)
    for _ in range(IN_MEMORY):
        body.append(b"x")
    assert whole(body) == b"x" * IN_MEMORY
    body.close()


def test_the_file_has_no_name_and_ends_with_the_body(spool, tmp_path):
    before = set(os.listdir("/proc/self/fd"))
    body = Body(spool, 0)
    body.append(b"x" * (IN_MEMORY + 1))
    assert os.listdir(tmp_path) == []
    body.close()
    body.close()
    assert set(os.listdir("/proc/self/fd")) == before
    assert spool.used == 0


def test_without_o_tmpfile_the_name_is_removed(spool, tmp_path, monkeypatch):
    really_open = os.open

    def refuse(path, flags, *mode):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no")
        return really_open(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    body = Body(spool, 0)
    body.append(b"x" * (IN_MEMORY + 1))
    assert os.listdir(tmp_path) == []
    assert whole(body) == b"x" * (IN_MEMORY + 1)
    body.close()


def test_one_site_may_have_half(spool):
    first, second, other = Body(spool, 0), Body(spool, 0), Body(spool, 1)
    first.append(b"x" * 400_000)
    with pytest.raises(Refusal) as refusal:
        second.append(b"x" * 100_001)
    assert refusal.value.status == 503
    other.append(b"x" * 500_000)
    for body in (first, second, other):
        body.close()
    assert (spool.used, spool.of_site) == (0, {})


def test_all_sites_have_the_whole(spool):
    bodies = [Body(spool, site) for site in range(3)]
    bodies[0].append(b"x" * 500_000)
    bodies[1].append(b"x" * 450_000)
    with pytest.raises(Refusal):
        bodies[2].append(b"x" * 66_000)
    bodies[0].close()
    bodies[2].append(b"x" * 10)
    for body in bodies:
        body.close()
    assert spool.used == 0


def test_what_is_known_to_be_too_large_is_refused_before(spool):
    spool.check(0, 500_000)
    with pytest.raises(Refusal):
        spool.check(0, 500_001)
    Spool("/nowhere", 0).check(0, IN_MEMORY)


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EIO, 503)])
def test_a_disk_that_fails(spool, monkeypatch, number, status):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    body = Body(spool, 0)
    with monkeypatch.context() as patch:
        patch.setattr("itkwsgi.front.bodies.os.write", fail)
        with pytest.raises(Refusal) as refusal:
            body.append(b"x" * (IN_MEMORY + 1))
    assert refusal.value.status == status
    body.close()
    assert spool.used == 0


def test_a_write_that_takes_only_a_part_goes_on(spool, monkeypatch):
    really_write = os.write
    monkeypatch.setattr("itkwsgi.front.bodies.os.write", lambda fd, data: really_write(fd, data[:1000]))
    body = Body(spool, 0)
    body.append(b"ab" * IN_MEMORY)
    assert whole(body) == b"ab" * IN_MEMORY
    body.close()


def test_a_file_that_lost_its_end_is_an_error(spool):
    body = Body(spool, 0)
    body.append(b"x" * (IN_MEMORY + 1))
    os.truncate(body._fd, 10)
    assert body.read(0, 100) == b"x" * 10
    with pytest.raises(OSError, match="shorter"):
        body.read(10, 100)
    body.close()


def test_a_spool_that_is_missing_is_503(tmp_path):
    body = Body(Spool(str(tmp_path / "missing"), 1 << 30), 0)
    with pytest.raises(Refusal) as refusal:
        body.append(b"x" * (IN_MEMORY + 1))
    assert refusal.value.status == 503
    body.close()
