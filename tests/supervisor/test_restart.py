"""Pauses before a process is started again."""

from itkwsgi.supervisor.restart import FORGET_SECONDS, LONGEST_PAUSE, Backoff


def test_the_first_end_is_answered_at_once_and_then_it_doubles():
    backoff = Backoff()
    assert [backoff.failed(float(second)) for second in range(5)] == [0.0, 0.25, 0.5, 1.0, 2.0]


def test_there_is_a_longest_pause():
    backoff = Backoff()
    pauses = [backoff.failed(float(second)) for second in range(30)]
    assert max(pauses) == pauses[-1] == LONGEST_PAUSE


def test_a_quiet_time_is_forgiven():
    backoff = Backoff()
    for second in range(10):
        backoff.failed(float(second))
    assert backoff.failed(10.0 + FORGET_SECONDS) == 0.0
