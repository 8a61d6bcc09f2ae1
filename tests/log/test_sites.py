"""Sites: what stays open, and how long."""

import os

import pytest

from itkwsgi.log.sites import LINGER_SECONDS, Site, Sites


@pytest.fixture
def file(tmp_path):
    """Make a descriptor of a new file."""
    made = []

    def make():
        made.append(os.open(tmp_path / str(len(made)), os.O_WRONLY | os.O_CREAT))
        return made[-1]

    return make


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_an_access_log_outlives_its_pool_a_little(file):
    sites, access = Sites(), file()
    site = Site(3, "a.example", None, access)
    sites.wake(site)
    sites.fall_asleep(3, 100.0)
    assert sites.next_time() == 100.0 + LINGER_SECONDS
    sites.expire(100.0 + LINGER_SECONDS / 2)
    assert sites.awake(3) is site
    assert is_open(access)
    sites.expire(100.0 + LINGER_SECONDS)
    assert sites.awake(3) is None
    assert not is_open(access)
    assert sites.next_time() is None
    assert sites.names == {3: "a.example"}


def test_the_error_log_is_open_as_long_as_the_pipe(file):
    sites, error = Sites(), file()
    site = Site(3, "a.example", error, None)
    sites.wake(site)
    sites.fall_asleep(3, 100.0)
    sites.expire(1000.0)
    assert is_open(error)
    site.pipe_ended()
    assert not is_open(error)


def test_two_pools_of_one_site(file):
    sites, fds = Sites(), [file() for _ in range(4)]
    old, young = Site(3, "a.example", fds[0], fds[1]), Site(3, "a.example", fds[2], fds[3])
    sites.wake(old)
    sites.wake(young)
    assert [is_open(fd) for fd in fds] == [True, False, True, True]
    assert sites.awake(3) is young
    old.pipe_ended()
    assert [is_open(fd) for fd in fds] == [False, False, True, True]


def test_a_site_that_wakes_again_at_once_stays_awake(file):
    sites, access = Sites(), file()
    sites.wake(Site(3, "a.example", None, None))
    sites.fall_asleep(3, 100.0)
    sites.wake(Site(3, "a.example", None, access))
    sites.expire(1000.0)
    assert is_open(access)


def test_falling_asleep_twice_changes_nothing():
    sites = Sites()
    sites.wake(Site(3, "a.example", None, None))
    sites.fall_asleep(3, 100.0)
    sites.fall_asleep(3, 101.0)
    assert sites.next_time() == 100.0 + LINGER_SECONDS
    sites.expire(1000.0)
    sites.fall_asleep(3, 1000.0)
    assert sites.next_time() is None


def test_rotated_files(file):
    fds = [file() for _ in range(6)]
    site = Site(3, "a.example", fds[0], fds[1])
    site.use(fds[2], fds[3])
    assert [is_open(fd) for fd in fds[:4]] == [False, False, True, True]
    site.pipe_ended()
    site.use(fds[4], fds[5])
    assert [is_open(fd) for fd in fds[2:]] == [False, False, False, True]
    assert site.error is None
