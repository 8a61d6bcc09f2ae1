"""Reading a table by its declarations: every fault at once, and the rest of it all the same."""

from __future__ import annotations

import pytest

from itkwsgi.config.declare import Key, Table, defaults, part, read, record, schema, tables, unknown
from itkwsgi.ini.kinds import FLAG, PATH, TEXT, TIME, integer, list_of
from itkwsgi.ini.values import Fault, Wrong

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


@pytest.mark.parametrize("kind", [record("table", INNER), part("table", INNER)])
def test_what_is_no_table(kind) -> None:
    with pytest.raises(Wrong, match="1 is not a table"):
        kind.parse(1, "/")


def test_a_part_has_what_was_said_and_no_more() -> None:
    some = Table("[s]", (Key("place", PATH, "/x"), Key("wait", TIME, "5s")), frozenset(("tls",)), "setting")
    assert part("settings", some).parse({"wait": 2}, "/etc") == {"wait": 2.0}
    assert part("settings", some).parse({}, "/etc") == {}
    with pytest.raises(Wrong) as caught:
        part("settings", some).parse({"wait": "x", "place": "y", "tls": 1, "plaec": 2}, "/etc")
    assert caught.value.rest == {"place": "/etc/y"}
    assert [fault.message for fault in caught.value.faults] == [
        "unknown setting: this version of itkwsgi does not have it yet",
        "unknown setting",
        '"x" is not a time',
    ]


def test_an_unknown_key_without_a_near_one() -> None:
    assert unknown("xyz", TABLE) == Fault("unknown key", "", ("xyz",))


def test_the_schema_comes_from_the_declarations() -> None:
    made = schema(TABLE)
    assert made["required"] == ["needed"] and made["additionalProperties"] is False
    properties = made["properties"]
    assert isinstance(properties, dict)
    assert properties["wait"] == {"type": ["string", "number"], "description": "How long."}
    assert properties["names"]["items"] == {"type": "string", "minLength": 1}
    assert properties["inner"]["properties"]["count"]["maximum"] == 9


def test_a_list_of_tables_keeps_the_place_of_each() -> None:
    kind = tables("tables", INNER, lambda: [TABLE])
    assert kind.parse([{"path": "a"}, {"path": "b", "count": 0}], "/x") == (
        {"path": "/x/a", "count": 3},
        {"path": "/x/b", "count": 0},
    )
    with pytest.raises(Wrong) as caught:
        kind.parse([{"count": 99}, 5, {"path": "a", "wait": 1}], "/x")
    assert [fault.steps for fault in caught.value.faults] == [(0, "path"), (0, "count"), (1,), (2, "wait")]
    assert caught.value.faults[-1].hint == "it belongs in [t]"
    assert [found["path"] for found in caught.value.rest] == [None, None, "/x/a"]  # type: ignore[attr-defined]
    with pytest.raises(Wrong, match="stands where a list of tables must"):
        kind.parse({"path": "a"}, "/x")
