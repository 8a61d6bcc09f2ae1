"""The time as text."""

import email.utils
import time

import pytest

from itkwsgi.front.clock import Clock


@pytest.fixture
def zone(monkeypatch):
    def use(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("now", [0.0, 951782399.9, 1795569395.5, 4102444800.0])
def test_the_http_date(now):
    date = Clock(lambda: now).date()
    assert email.utils.parsedate_to_datetime(date).timestamp() == int(now)
    assert date.endswith(" GMT")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("UTC", "25/Nov/2026:01:16:35 +0000"),
        ("America/St_Johns", "24/Nov/2026:21:46:35 -0330"),
        ("Asia/Kathmandu", "25/Nov/2026:07:01:35 +0545"),
    ],
)
def test_the_logs_time(zone, name, text):
    zone(name)
    assert Clock(lambda: 1795569395.5).log_time() == text


def test_the_text_is_made_once_per_second():
    now = [100.0]
    clock = Clock(lambda: now[0])
    first = clock.date()
    now[0] = 100.9
    assert clock.date() is first
    now[0] = 101.0
    assert clock.date() != first
