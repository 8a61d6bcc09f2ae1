"""The book: each line in its file, and what is said about lines that were lost."""

import errno
import os

import pytest

from itkwsgi.log.book import COMPLAINT_SECONDS, Book
from itkwsgi.log.lines import stamp
from itkwsgi.log.sinks import Sink
from itkwsgi.log.sites import Site, Sites

NOW = 1795608000.0
WHEN = stamp(NOW)
ENOSPC = os.strerror(errno.ENOSPC)


class Desk:
    """A book with files below a folder, and a clock to turn."""

    def __init__(self, folder):
        self.folder = folder
        self.now = NOW
        self.sites = Sites()
        self.book = Book(self.sites, Sink(self.file("stderr"), "stderr"), lambda: self.now)

    def file(self, name):
        path = "/dev/full" if name == "full" else self.folder / name
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def text(self, name):
        return (self.folder / name).read_text()

    def wake(self, index, name, error=None, access=None):
        site = Site(index, name, error and self.file(error), access and self.file(access))
        self.sites.wake(site)
        return site


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    desk.book.use(desk.file("error"), desk.file("access"))
    return desk


def test_error_lines_go_to_the_site_s_own_log_or_the_server_s(desk):
    size = desk.book.write_site(desk.wake(0, "a.example"), [b"one", b"two"])
    desk.book.write_site(desk.wake(1, "b.example", error="b"), [b"mine"])
    desk.book.write_notes("front 1", [b"hello"])
    assert desk.text("error") == (
        f"[{WHEN}] [a.example] one\n[{WHEN}] [a.example] two\n[{WHEN}] [itkwsgi front 1] hello\n"
    )
    assert size == len(f"[{WHEN}] [a.example] one\n[{WHEN}] [a.example] two\n")
    assert desk.text("b") == f"[{WHEN}] [b.example] mine\n"


def test_access_lines_go_where_their_index_says(desk):
    desk.wake(0, "a.example")
    desk.wake(1, "b.example", access="b")
    desk.sites.names[2] = "never.awake.example"
    size = desk.book.write_access(
        [b"0 to a", b"1 to b", b"- nobody", b"2 refused", b"99 unknown", b"1 b \x1b again", b""]
    )
    assert desk.text("access") == "a.example to a\n- nobody\nnever.awake.example refused\n- unknown\n- \n"
    assert desk.text("b") == "to b\nb \\x1b again\n"
    assert size == len(desk.text("access") + desk.text("b"))


def test_a_sleeping_site_is_still_called_by_its_name(desk):
    desk.wake(1, "b.example", access="b")
    desk.sites.fall_asleep(1, 0.0)
    desk.book.write_access([b"1 in time"])
    desk.sites.expire(100.0)
    desk.book.write_access([b"1 late"])
    assert desk.text("b") == "in time\n"
    assert desk.text("access") == "b.example late\n"


def test_without_an_error_log_lines_go_to_stderr_and_access_lines_nowhere(desk):
    desk.book.use(None, None)
    desk.book.write_site(desk.wake(0, "a.example"), [b"one"])
    assert desk.book.write_access([b"0 x"]) == 0
    assert desk.text("stderr") == f"[{WHEN}] [a.example] one\n"


def test_lost_error_lines_are_told_in_the_same_log_once_it_works(desk):
    site = desk.wake(0, "a.example", error="full")
    desk.book.write_site(site, [b"one", b"two"])
    desk.book.write_site(site, [b"three"])
    assert desk.text("stderr") == (
        f"[{WHEN}] [itkwsgi log] the error log of a.example cannot be written, lines are lost: {ENOSPC}\n"
    )
    site.use(desk.file("a"), None)
    desk.book.write_site(site, [b"four"])
    desk.book.write_site(site, [b"five"])
    four, told, five = desk.text("a").splitlines()
    assert four.endswith("[a.example] four")
    assert told == f"[{WHEN}] [itkwsgi log] 3 lines of the error log of a.example were lost: {ENOSPC}"
    assert five.endswith("[a.example] five")
    assert desk.text("error") == ""


def test_lost_access_lines_are_told_in_the_error_log(desk):
    site = desk.wake(0, "a.example", access="full")
    desk.book.write_access([b"0 one", b"0 two", b"- other"])
    site.use(None, desk.file("a"))
    desk.book.write_access([b"0 three"])
    assert desk.text("a") == "three\n"
    assert desk.text("access") == "- other\n"
    assert "[itkwsgi log] 2 lines of the access log of a.example were lost: " in desk.text("error")


def test_a_count_outlives_the_sleep_of_its_site(desk):
    site = desk.wake(0, "a.example", error="full")
    desk.book.write_site(site, [b"one"])
    site.pipe_ended()
    desk.book.write_site(desk.wake(0, "a.example", error="a"), [b"two"])
    assert "1 line of the error log of a.example was lost" in desk.text("a")


def test_when_the_telling_fails_it_is_told_later(desk):
    site = desk.wake(0, "a.example", access="full")
    desk.book.write_access([b"0 one"])
    site.use(None, desk.file("a"))
    desk.book.use(desk.file("full"), desk.file("access"))
    desk.book.write_access([b"0 two"])
    desk.book.use(desk.file("error"), desk.file("access"))
    desk.book.write_access([b"0 three"])
    assert desk.text("error").count("1 line of the access log of a.example was lost") == 1


def test_the_operator_hears_of_it_now_and_then(desk):
    desk.book.use(desk.file("full"), desk.file("full"))
    for _ in range(3):
        desk.book.write_notes("x", [b"one"])
        desk.book.write_access([b"- one"])
    assert len(desk.text("stderr").splitlines()) == 2
    desk.now += COMPLAINT_SECONDS
    desk.book.write_notes("x", [b"one"])
    assert len(desk.text("stderr").splitlines()) == 3


def test_a_stderr_that_is_full_is_no_reason_to_end(tmp_path):
    desk = Desk(tmp_path)
    desk.book = Book(desk.sites, Sink(desk.file("full"), "stderr"), lambda: NOW)
    desk.book.write_notes("x", [b"one"])
    desk.book.use(desk.file("full"), None)
    desk.book.write_notes("x", [b"two"])
    desk.book.use(desk.file("error"), None)
    desk.book.write_notes("x", [b"three"])
    assert "1 line of the error log was lost" in desk.text("error")
