"""Error pages."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.front.pages import make_page, new_id, reason_phrase

STATES = [400, 405, 408, 411, 413, 414, 417, 421, 429, 431, 500, 501, 502, 503, 504, 505, 507, 508]


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("status", STATES)
def test_every_page_is_complete(status):
    page = make_page(status)
    text = page.body.decode()
    assert page.reason == reason_phrase(status)
    assert f"<title>{status} {page.reason}</title>" in text
    assert "prefers-color-scheme:dark" in text
    assert 'name="viewport"' in text
    assert ("Content-Type", "text/html; charset=utf-8") in page.fields
    assert len(Reader(text).text) > 100
    assert "{" not in text.partition("<h1>")[2]
    assert len(page.body) < 2000


@pytest.mark.parametrize(("status", "field"), [(503, "Retry-After"), (405, "Allow")])
def test_fields_that_a_status_must_have(status, field):
    assert dict(make_page(status).fields)[field]
    assert field not in dict(make_page(500).fields)


@given(st.text(), st.text(), st.text())
def test_whatever_stands_in_a_page_is_text(error_id, detail, signature):
    plain = Reader(make_page(500, error_id="i", detail="d", signature="s").body.decode())
    page = Reader(make_page(500, error_id=f"i{error_id}", detail=f"d{detail}", signature=f"s{signature}").body.decode())
    assert page.tags == plain.tags


def test_nothing_is_said_that_was_not_given():
    text = make_page(500).body.decode()
    assert "<code>" not in text
    assert "<address>" not in text


def test_what_cannot_be_encoded_is_replaced():
    assert b"a?b" in make_page(500, detail="a\ud800b").body


def test_ids_have_letters_and_digits_and_differ():
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    for one in ids:
        assert len(one) == 12 and one.isalnum() and not one.isalpha() and not one.isdigit()
