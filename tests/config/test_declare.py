"""Reading a table by its declarations: every fault at once, and the rest of it all the same."""

from __future__ import annotations

import pytest

from itkwsgi.config.declare import Key, Table, closest, defaults, list_of, read, record, schema, unknown
from itkwsgi.config.keys import FLAG, PATH, TEXT, TIME, integer
from itkwsgi.config.values import Fault, Wrong

INNER = Table("inner", (Key("path", PATH, required="is needed"), Key("count", integer(0, 9), 3)))
TABLE = Table(
    "[t]",
    (
        Key("wait", TIME, "5s", "How long."),
        Key("names", list_of(TEXT, unique=True), []),
        Key("place", PATH, "/run/x", ordinary="~/x"),
        Key("flag", FLAG),
        Key("inner", record("table", INNER)),
        Key("needed", TEXT, required="is needed: it is"),
    ),
    frozenset(("tls",)),
)


def read_all(**raw: object):
    return read(TABLE, raw, "/etc", defaults(TABLE, "/etc"), [TABLE, Table("[other]", (Key("user", TEXT),))])


def test_defaults_are_read_by_the_parser() -> None:
    assert defaults(TABLE, "/etc") == {
        "wait": 5.0,
        "names": (),
        "place": "/run/x",
        "flag": None,
        "inner": None,
        "needed": None,
    }
    assert defaults(TABLE, "/etc", "/home/jess")["place"] == "/home/jess/x"


def test_what_was_said_wins() -> None:
    values, faults = read_all(wait=1, names=["a"], place="y", flag="on", inner={"path": "p"}, needed="n")
    assert faults == []
    assert values == {
        "wait": 1.0,
        "names": ("a",),
        "place": "/etc/y",
        "flag": True,
        "inner": {"path": "/etc/p", "count": 3},
        "needed": "n",
    }


def test_every_fault_at_once_with_its_place() -> None:
    values, faults = read_all(
        wait="x", names=["a", 1, "a", ""], inner={"cuont": 1, "count": 10}, tls=1, flagg=True, user="x"
    )
    assert [(fault.steps, fault.message, fault.hint) for fault in faults] == [
        (("tls",), "unknown key: this version of itkwsgi does not have it yet", ""),
        (("flagg",), "unknown key", "did you mean flag?"),
        (("user",), "unknown key", "it belongs in [other]"),
        (("wait",), '"x" is not a time', 'write "30s", "500ms", "5m", "1h" or a number of seconds'),
        (("names", 1), "1 is not text", 'write "1"'),
        (("names", 2), '"a" stands here twice', ""),
        (("names", 3), "it is empty", ""),
        (("inner", "cuont"), "unknown key", "did you mean count?"),
        (("inner", "path"), "is needed", ""),
        (("inner", "count"), "10 is too big: at most 9", ""),
        (("needed",), "is needed: it is", ""),
    ]
    assert values["wait"] == 5.0, "a wrong value leaves the default"
    assert values["names"] == ("a", "a"), "a list keeps what is right of it"


@pytest.mark.parametrize(("raw", "hint"), [("a", 'write ["a"]'), (1, ""), ({}, "")])
def test_what_is_no_list(raw: object, hint: str) -> None:
    with pytest.raises(Wrong) as caught:
        list_of(TEXT).parse(raw, "/")
    assert caught.value.faults[0].message.endswith("is not a list") and caught.value.faults[0].hint == hint


def test_what_is_no_table() -> None:
    with pytest.raises(Wrong, match="1 is not a table"):
        record("table", INNER).parse(1, "/")


def test_near_names_are_found() -> None:
    known = ["keepalive_timeout", "listen", "user"]
    assert closest("keep-alive-timeout", known) == "keepalive_timeout"
    assert closest("Listen", known) == "listen"
    assert closest("xyz", known) == ""
    assert unknown("xyz", TABLE) == Fault("unknown key", "", ("xyz",))


def test_the_schema_comes_from_the_declarations() -> None:
    made = schema(TABLE)
    assert made["required"] == ["needed"] and made["additionalProperties"] is False
    properties = made["properties"]
    assert isinstance(properties, dict)
    assert properties["wait"] == {"type": ["string", "number"], "description": "How long."}
    assert properties["names"]["items"] == {"type": "string", "minLength": 1}
    assert properties["inner"]["properties"]["count"]["maximum"] == 9
