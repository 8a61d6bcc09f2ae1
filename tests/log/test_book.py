"""The book: each line in its file, and what is said about lines that were lost."""

import errno
import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from itkwsgi.log.book import COMPLAINT_SECONDS, SLOW_SECONDS, Book
from itkwsgi.log.lines import in_units, stamp
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


# --- log_max


FIRST, SECOND = "first.example", "second.example"
LINE = len(f"[{WHEN}] [{FIRST}] 0123456789\n")


def limited(desk, limit):
    desk.book.use(desk.file("error"), desk.file("access"), limit)
    return desk


def lines_of(text, name):
    return [line for line in text.splitlines() if f"[{name}] " in line]


def test_a_site_fills_its_part_of_a_shared_log_and_no_other_s(desk):
    limited(desk, LINE * 3 + 5)
    first, second = desk.wake(0, FIRST), desk.wake(1, SECOND)
    size = desk.book.write_site(first, [b"0123456789"] * 5)
    desk.book.write_site(first, [b"0123456789"])
    desk.book.write_site(second, [b"0123456789"] * 2)
    text = desk.text("error")
    assert size == LINE * 5
    assert len(lines_of(text, FIRST)) == 3
    assert len(lines_of(text, SECOND)) == 2
    assert lines_of(text, "itkwsgi log") == [
        f"[{WHEN}] [itkwsgi log] first.example in the error log: log_max ({LINE * 3 + 5}) is reached, further lines are"
        " lost; rotate the log and send USR1, or raise log_max"
    ]


def test_without_a_limit_nothing_is_full(desk):
    limited(desk, 0)
    desk.book.write_site(desk.wake(0, FIRST), [b"0123456789"] * 500)
    assert len(desk.text("error").splitlines()) == 500


def test_a_rotation_makes_room_and_tells_what_was_lost(desk):
    limited(desk, LINE * 2)
    first = desk.wake(0, FIRST)
    desk.book.write_site(first, [b"0123456789"] * 12)
    os.rename(desk.folder / "error", desk.folder / "error.1")
    limited(desk, LINE * 2)
    desk.book.write_site(first, [b"0123456789"])
    desk.book.write_site(first, [b"0123456789"] * 2)
    text = desk.text("error")
    assert len(lines_of(text, FIRST)) == 2
    assert text.count("10 lines of first.example in the error log were lost: log_max was reached") == 1
    assert text.count("log_max (") == 1  # full again, and said again


def test_what_is_in_a_site_s_own_file_counts(desk):
    limited(desk, LINE * 3)
    (desk.folder / "own").write_bytes(b"x" * (LINE * 2 - 1) + b"\n")
    desk.book.write_site(desk.wake(0, FIRST, error="own"), [b"0123456789"] * 2)
    text = desk.text("own")
    assert len(lines_of(text, FIRST)) == 1
    assert "the error log of first.example: log_max (" in text
    assert "the error log of first.example: log_max (" in desk.text("error")


def test_to_sleep_and_wake_makes_no_room(desk):
    limited(desk, LINE * 2)
    for _ in range(4):
        own, shared = desk.wake(0, FIRST, error="own"), desk.wake(1, SECOND)
        desk.book.write_site(own, [b"0123456789"] * 2)
        desk.book.write_site(shared, [b"0123456789"] * 2)
        own.pipe_ended()
        desk.sites.fall_asleep(0, 0.0)
        desk.sites.expire(100.0)
    assert len(lines_of(desk.text("own"), FIRST)) == 2
    assert len(lines_of(desk.text("error"), SECOND)) <= 2
    assert desk.text("own").count("log_max (") == 1
    assert desk.text("error").count("log_max (") == 2


def test_a_few_bytes_of_room_make_no_full_log_speak(desk):
    """Short lines would fit, one by one, and each would be followed by what was lost and that it is full again."""
    limited(desk, LINE * 10)
    first = desk.wake(0, FIRST)
    desk.book.write_site(first, [b"0123456789"] * 9 + [b"0123456789" * 9])
    for _ in range(5):
        desk.book.write_site(first, [b""])
        desk.book.write_site(first, [b"0123456789" * 9])
    assert len(lines_of(desk.text("error"), FIRST)) == 9
    assert len(lines_of(desk.text("error"), "itkwsgi log")) == 1


def test_a_raised_limit_makes_room(desk):
    limited(desk, LINE)
    first = desk.wake(0, FIRST, error="own")
    desk.book.write_site(first, [b"0123456789"] * 2)
    limited(desk, 0)
    desk.book.write_site(first, [b"0123456789"] * 2)
    assert len(lines_of(desk.text("own"), FIRST)) == 3
    assert "1 line of the error log of first.example was lost: log_max was reached" in desk.text("own")


def test_access_lines_count_by_site_and_are_told_in_the_error_log(desk):
    limited(desk, 40)
    desk.wake(0, FIRST, access="own")
    desk.sites.names[1] = SECOND
    desk.book.write_access([b"0 0123456789", b"1 0123456789", b"- 0123456789", b"9999 0123456789"] * 2)
    desk.book.write_access([b"0 0123456789", b"1 0123456789", b"- 0123456789"] * 2)
    assert desk.text("own") == "0123456789\n" * 3
    assert desk.text("access").count(f"{SECOND} 0123456789\n") == 1
    assert desk.text("access").count("- 0123456789\n") == 3
    told = lines_of(desk.text("error"), "itkwsgi log")
    for what in (
        "the access log of first.example",
        "second.example in the access log",
        "requests of no site in the access log",
    ):
        assert sum(f"{what}: log_max (40) is reached" in line for line in told) == 1
    assert len(told) == 3


def test_a_front_s_own_lines_have_their_limit(desk):
    limited(desk, 1000)
    desk.book.write_notes("front 1", [b"x" * 100] * 50)
    desk.book.write_notes("supervisor", [b"still heard"])
    assert len(desk.text("error")) < 1500
    assert "still heard" in desk.text("error")


def test_that_it_is_full_is_told_when_it_can_be(desk):
    desk.book.use(desk.file("full"), None, LINE * 2)
    first = desk.wake(0, FIRST, error="own")
    desk.book.write_site(first, [b"0123456789"] * 3)
    desk.book.write_site(first, [b"0123456789"])
    assert desk.text("own").count("log_max (") == 1
    desk.wake(1, SECOND, access="a")
    desk.book.write_access([b"1 " + b"x" * LINE * 3])
    desk.book.use(desk.file("error"), None, LINE * 2)
    desk.book.write_access([b"1 " + b"x" * LINE * 3] * 2)
    assert desk.text("error").count("the access log of second.example: log_max (") == 1


@given(
    limit=st.integers(1, 3000),
    batches=st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 300), min_size=1, max_size=8)), max_size=30),
)
@example(limit=1024, batches=[(0, [0, 0, 0, 0, 0, 121, 300, 300])])  # which is called 1K
def test_no_writer_is_ever_over_the_limit_and_each_line_is_whole_or_lost(limit, batches):
    with tempfile.TemporaryDirectory() as folder:
        desk = limited(Desk(Path(folder)), limit)
        sites = [desk.wake(0, "s0"), desk.wake(1, "s1"), desk.wake(2, "s2", error="own")]
        sent = {"s0": 0, "s1": 0, "s2": 0}
        for index, lengths in batches:
            desk.book.write_site(sites[index], [b"x" * length for length in lengths])
            sent[f"s{index}"] += len(lengths)
        text, own = desk.text("error"), desk.text("own")
        for name in sent:
            kept = lines_of(text + own, name)
            assert sum(len(line) + 1 for line in kept) <= limit
            assert all(re.fullmatch(r"\[\S+\] \[s\d\] x*", line) for line in kept)
            told = (
                f"{'the error log of s2' if name == 's2' else f'{name} in the error log'}: log_max ({in_units(limit)})"
                in text
            )
            assert told == (len(kept) < sent[name])
        for sink in (desk.book.error, desk.book.access, sites[2].error, desk.book._stderr):
            sink.close()


# --- the rate


def test_a_writer_that_is_slowed_down_reads_so_now_and_then(desk):
    own, shared = desk.wake(0, FIRST, error="own"), desk.wake(1, SECOND)
    for _ in range(3):
        desk.book.tell_slow(FIRST, own)
        desk.book.tell_slow(SECOND, shared)
        desk.book.tell_slow("itkwsgi front 1")
    desk.now += SLOW_SECONDS
    desk.book.tell_slow(FIRST, own)
    assert desk.text("own") == (
        f"[{WHEN}] [itkwsgi log] first.example writes more than 1M a second on its stdout and stderr: it waits for its"
        f" log\n[{stamp(desk.now)}] [itkwsgi log] first.example writes more than 1M a second on its stdout and stderr:"
        " it waits for its log\n"
    )
    assert [line.split("] ")[2].split(" writes")[0] for line in desk.text("error").splitlines()] == [
        SECOND,
        "itkwsgi front 1",
    ]


def test_a_site_that_is_given_up_is_told_so_in_its_log(desk):
    own = desk.wake(0, "a.example", error="own")
    shared = desk.wake(1, "b.example")
    desk.book.tell_given_up(own)
    desk.book.tell_given_up(shared)
    text = "sent descriptors to its stdout or stderr: nothing is read from it any more"
    assert desk.text("own") == f"[{WHEN}] [itkwsgi log] a.example {text}\n"
    assert desk.text("error") == f"[{WHEN}] [itkwsgi log] b.example {text}\n"


def test_a_site_that_is_given_up_where_no_log_is_stops_nobody(tmp_path):
    desk = Desk(tmp_path)
    desk.book.tell_given_up(desk.wake(0, "a.example"))
    assert desk.text("stderr") == ""
