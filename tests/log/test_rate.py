"""The token bucket: the mean holds whatever the writer does."""

from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.log.rate import TokenBucket


def test_a_burst_is_free_and_then_the_rate_holds():
    bucket = TokenBucket(rate=1000, burst=400, now=5.0)
    assert bucket.pause(5.0) == 0.0
    bucket.take(399, 5.0)
    assert bucket.pause(5.0) == 0.0
    bucket.take(301, 5.0)
    # 300 in debt, and a quarter of the burst must be there again
    assert bucket.pause(5.0) == 0.4
    assert abs(bucket.pause(5.2) - 0.2) < 1e-9
    assert bucket.pause(5.4) == 0.0


def test_a_quiet_time_fills_no_more_than_the_burst():
    bucket = TokenBucket(rate=1000, burst=400, now=0.0)
    bucket.take(400, 1000.0)
    assert bucket.pause(1000.0) > 0.0


@given(st.lists(st.tuples(st.integers(1, 2000), st.floats(0, 0.5)), min_size=1, max_size=60))
def test_the_mean_is_never_exceeded_by_more_than_a_burst_and_one_read(reads):
    bucket = TokenBucket(rate=1000, burst=400, now=0.0)
    now, taken, largest = 0.0, 0, 0
    for size, idle in reads:
        now += idle + bucket.pause(now + idle)
        bucket.take(size, now)
        taken += size
        largest = max(largest, size)
        assert taken <= 1000 * now + 400 + largest + 1e-6


@given(st.integers(1, 10**9), st.floats(0, 10**6))
def test_every_pause_ends(size, now):
    bucket = TokenBucket(rate=1024 * 1024, burst=256 * 1024, now=now)
    bucket.take(size, now)
    assert bucket.pause(now + bucket.pause(now) + 0.001) == 0.0
