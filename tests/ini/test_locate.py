"""The line of every key; held to tomllib, which says which keys there are."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.ini.locate import locate


def paths(value: object, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """Every path of a parsed document."""
    found = {path} if path else set()
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    else:
        return found
    for step, child in children:
        found |= paths(child, (*path, step))
    return found


def located(text: str) -> dict[tuple[Any, ...], int]:
    """The lines, checked against the keys that tomllib finds."""
    lines = locate(text)
    assert set(lines) == paths(tomllib.loads(text))
    return lines


def test_plain_keys_and_tables() -> None:
    assert located("# c\na = 1\n\n[t]\nb = 'x' # y = 2\n[t.u]\nc=true") == {
        ("a",): 2,
        ("t",): 4,
        ("t", "b"): 5,
        ("t", "u"): 6,
        ("t", "u", "c"): 7,
    }


def test_arrays_of_tables_have_indexes_and_own_lines() -> None:
    lines = located("[[v]]\nn=1\n[[v.d]]\np=1\n[[v.d]]\n[v.d.x]\n[[v]]\n[v.e]\nq=1\n[[v.d]]\np=2\n")
    assert lines[("v",)] == 1
    assert lines[("v", 0, "d", 1, "x")] == 6
    assert lines[("v", 1)] == 7
    assert lines[("v", 1, "e", "q")] == 9
    assert lines[("v", 1, "d", 0, "p")] == 11


def test_elements_of_arrays_over_many_lines() -> None:
    lines = located('a = [\n  "x", # ]\n\n  [1,\n 2], {k = 3},\n] # end\nb = []\n')
    assert lines[("a", 0)] == 2
    assert lines[("a", 1, 1)] == 5
    assert lines[("a", 2, "k")] == 5
    assert lines[("b",)] == 7


def test_dotted_keys_make_their_tables() -> None:
    assert located('a . b.\'c d\' = 1\n[x]\ny."z\\u0041\\"" = {p.q = 1, r = {}}\n') == {
        ("a",): 1,
        ("a", "b"): 1,
        ("a", "b", "c d"): 1,
        ("x",): 2,
        ("x", "y"): 3,
        ("x", "y", 'zA"'): 3,
        ("x", "y", 'zA"', "p"): 3,
        ("x", "y", 'zA"', "p", "q"): 3,
        ("x", "y", 'zA"', "r"): 3,
    }


def test_a_table_has_the_line_of_its_own_header() -> None:
    assert located("[a.b]\n[a]\nx=1\n")[("a",)] == 2
    assert located("[a.b]\n[a.c]\n")[("a",)] == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n# only this",
        "a = 1979-05-27 07:32:00 # x\nb=07:32:00\n",
        's = """\n[no]\nk = 1\n\\""" """\nt = 1\n',
        "s = '''it''s '' # x\n'''\nt = 1\n",
        's = """a"""""\nt = [""" " """, "", \'\']\n',
        "s = '''''''\nt = ''''''\nu = \"\"\"\"\"\"\n",
        "a = \"\\\\\" # \"\nb = '\\' # '\n",
        "a = { b = [ { c = 1 }, { c = '}' } ], d = \"#\" }\n",
        "a = [ \"]\", '[', # ]\n ]\nb = 1",
        "[ a . 'b' ]\n[[ c . d ]]\n  [[ c.d ]]\n",
        '"" = 1\n[x.\'\'.""]\n"#" = 2\n',
        "a = 1\r\n[b]\r\nc = [\r\n1,\r\n2 ]\r\n",
        "1 = 2\n3.14 = 5\ntrue = false\n",
        "x = [[[[]]]]\ny = [{}, {}]\n",
        "a = -1_000\nb = +inf\nc = 0xdead_beef\n",
    ],
)
def test_finds_what_tomllib_finds(text: str) -> None:
    located(text)


def test_lines_are_counted_behind_strings_of_many_lines() -> None:
    lines = located('a = """\n\n"""\nb = \'\'\'\n\n\'\'\'\nc = [ """\n""", 1,\n 2]\nd = 1\n')
    assert (lines[("b",)], lines[("c", 1)], lines[("c", 2)], lines[("d",)]) == (4, 8, 9, 10)


keys = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.sampled_from(["a", "b-c", "1"])
scalars = st.integers(-9, 9) | st.booleans() | st.floats(allow_nan=False) | st.dates() | st.text(max_size=20) | keys
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=12
)


@given(st.dictionaries(keys, values, max_size=5), st.booleans())
def test_any_document_that_a_writer_makes(tables: dict[str, Any], multiline: bool) -> None:
    text = tomli_w.dumps(tables, multiline_strings=multiline)
    assert set(locate(text)) == paths(tomllib.loads(text))


fragments = st.sampled_from(
    [
        "a",
        "b.c",
        '"q"',
        "'l'",
        "[t]",
        "[[v]]",
        "[v.w]",
        "[[v.w]]",
        "=",
        "1",
        "[",
        "]",
        "{",
        "}",
        ",",
        "#",
        "\n",
        " ",
        '"""',
        "'''",
        '"x"',
        "true",
        "a = 1\n",
        "b = [1,\n2]\n",
        "c = {d = 1}\n",
        "e = '''\n'''\n",
        '\\"',
        "\r\n",
    ]
)


@given(st.lists(fragments, max_size=14).map("".join))
def test_any_document_at_all_that_tomllib_takes(text: str) -> None:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(locate(text)) == paths(tables)


before = st.sampled_from(["\n", "# c\n", "a{} = [\n1,\n\n2]\n", 'b{} = """\n\n"""\n', "c{} = {{ d = [\n] }}\n", "\r\n"])


@given(st.lists(before, max_size=8))
def test_the_line_is_that_of_the_key(pieces: list[str]) -> None:
    """Whatever stands before it: lines are counted as an editor does."""
    text = "".join(piece.format(number) for number, piece in enumerate(pieces)) + "key = 1\n"
    assert located(text)[("key",)] == text.count("\n")


def test_refuses_what_tomllib_would_refuse() -> None:
    with pytest.raises(ValueError, match="at character 0"):
        locate("é = 1")
