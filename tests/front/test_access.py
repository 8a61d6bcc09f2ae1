"""Lines of the access log; what they look like for real requests is in test_request."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.front.access import combined
from itkwsgi.front.http1.events import RequestHead

FORMAT = re.compile(
    r'(\S+) - - \[([^]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"'
)


def head(target="/", fields=(), method="GET"):
    return RequestHead(method, target, target, b"/", "", (1, 1), "a", None, tuple(fields), None, False, True, False)


TEXT = st.text(st.characters(codec="latin-1"), max_size=20)


@given(st.one_of(TEXT, TEXT.map(head)), TEXT, TEXT, st.integers(0, 10**12))
def test_a_line_is_always_in_the_format(request, referer, agent, size):
    if isinstance(request, RequestHead):
        request = head(request.target, [("referer", referer), ("user-agent", agent)])
    found = FORMAT.fullmatch(combined("10.0.0.1", "TIME", request, 200, size))
    assert found
    assert (found[1], found[2], found[4], found[5]) == ("10.0.0.1", "TIME", "200", str(size) if size else "-")


@pytest.mark.parametrize("line", ["", "nonsense"])
def test_what_could_not_be_read(line):
    assert combined("", "T", line, 400, 5) == f'- - - [T] "{line or "-"}" 400 5 "-" "-"'


def test_a_line_fits_the_logs_limit():
    worst = "\xff" * 9000
    line = combined("10.0.0.1", "T", head(worst, [("referer", worst), ("user-agent", worst)]), 200, 1)
    assert len(line) < 64 * 1024
    assert FORMAT.fullmatch(line)
