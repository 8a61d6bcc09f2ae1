"""What a pool and a front are told of a site's settings."""

from __future__ import annotations

import json
import marshal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.config.coverage import coverage_of
from itkwsgi.config.model import Area, Said
from itkwsgi.ini.tighter import is_within
from itkwsgi.linux import rulesets
from itkwsgi.linux.filters import site_filter
from itkwsgi.supervisor import plan as module
from itkwsgi.supervisor.confinement import RUN
from itkwsgi.supervisor.settings import pool_settings
from tests.support.configured import make_environment, make_vhost


def said(value, fixed=False, where="itk.toml:3"):
    return Said(value, fixed, where)


def area(path, **settings):
    return Area(path, settings, "itk.toml:5")


# --- pools


@pytest.fixture
def told(configured):
    """Make the settings of a site with these fields."""

    def make(abi=7, tmp_dir="/tmp/own", environments=(), **fields):
        vhost = make_vhost(0, **fields)
        return pool_settings(vhost, configured(vhost, environments=environments), tmp_dir=tmp_dir, abi=abi)

    return make


def test_tables_as_they_were_said(told):
    found = told(
        settings={"umask": said(0o077, True)},
        holding={"umask": said(0o027, True, "itk.toml:9")},
        directories=(area("/srv"), area("/srv/a", timezone=said("UTC"))),
        locations=(area("", open_basedir=said(("/srv",), True)),),
        allow_override=("umask", "timezone"),
        public="/srv/public",
        root="/srv",
    )
    assert {key: found[key] for key in ("site", "holding", "directories", "locations")} == {
        "site": {"umask": [0o077, True, "itk.toml:3"]},
        "holding": {"umask": [0o027, True, "itk.toml:9"]},
        "directories": [["/srv", {}], ["/srv/a", {"timezone": ["UTC", False, "itk.toml:3"]}]],
        "locations": [["", {"open_basedir": [("/srv",), True, "itk.toml:3"]}]],
    }
    assert (found["override"], found["public"], found["root"]) == (["umask", "timezone"], "/srv/public", "/srv")
    assert marshal.loads(marshal.dumps(found)) == found


def test_without_a_word(told):
    found = told()
    assert (found["override"], found["public"], found["prefix"], found["filters"]) == (None, "", "", {})


def test_filters_are_for_what_only_some_requests_lose(told):
    found = told(
        holding={"disable": said(("exec",))},
        directories=(area("/srv", disable=said(("exec", "network"))),),
        locations=(area("/a", disable=said(("fork",))), area("/b", disable=said(())), area("/c", umask=said(0))),
    )
    assert found["filters"] == {"fork": site_filter({"fork"}), "network": site_filter({"network"})}
    assert found["untraced"] is None


def test_an_area_without_tracing_is_in_a_domain_of_its_own(told):
    locations = (area("/a", disable=said(("ptrace",))),)
    assert told(locations=locations)["untraced"] == rulesets.domain_table(7)
    assert told(locations=locations, holding={"disable": said(("ptrace",))})["untraced"] is None


def test_the_domain_is_all_that_open_basedir_grants_but_its_directories(told):
    found = told(
        holding={"open_basedir": said(("/srv/a",))},
        locations=(area("/a", tmp_dir=said("/tmp/a")), area("/b", open_basedir=said(("/srv/b",)))),
        environment="shared",
        environments=[make_environment("shared")],
    )["domain"]
    rules = {path: (rights, required) for path, rights, required in found["rules"]}
    everything = rulesets.ALL
    assert {path for path, granted in rules.items() if granted[0] == everything} == {"/tmp/own", "/tmp/a"}
    assert rules["/usr/lib"] == rules["/venvs/shared"] == (RUN, False) and "/srv/a" not in rules
    assert (found["fs"], found["interpreter"]) == (rulesets.file_rights(7), RUN)


@pytest.mark.parametrize("abi", [0, 2])
def test_no_domain_that_this_kernel_cannot_keep(told, abi):
    assert told(abi=abi)["domain"] is None


def test_a_pools_plan_has_the_settings(configured):
    vhost = make_vhost(0, settings={"optimize": said(2)})
    plan = module.pool_plan(configured(vhost), vhost, 1, privileged=True, tmp_dir="/own")
    assert plan["settings"] == pool_settings(vhost, configured(vhost), tmp_dir="/own")
    assert (plan["optimize"], plan["interpreter"], plan["python"]) == (2, "/usr/bin/python3", "/usr/bin/python3")


@pytest.mark.parametrize(
    ("fields", "python"),
    [
        ({}, "/usr/bin/python3"),
        ({"environment": "flask"}, "/venvs/flask/bin/python"),
        ({"venv": "/home/jess/venv"}, "/home/jess/venv/bin/python"),
        ({"python": "/opt/python3.13"}, "/opt/python3.13"),
    ],
)
def test_what_to_execute_when_an_interpreter_must_start_anew(configured, fields, python):
    for optimize in (0, 1):
        vhost = make_vhost(0, settings={"optimize": said(optimize)}, **fields)
        config = configured(vhost, environments=[make_environment("flask")])
        plan = module.pool_plan(config, vhost, 1, privileged=True, tmp_dir=None)
        assert plan["python"] == python
        assert plan["interpreter"] == (python if optimize or "venv" in fields or "python" in fields else None)


@pytest.mark.parametrize(
    ("areas", "binary"),
    [
        ({}, None),
        ({"locations": (area("/a", umask=said(0)),)}, None),
        ({"locations": (area("/a", open_basedir=said(())),)}, None),
        ({"locations": (area("/a", open_basedir=said(("/srv",))),)}, "/usr/bin/python3.11"),
        ({"directories": (area("/srv", disable=said(("exec",))),)}, "/usr/bin/python3.11"),
    ],
)
def test_a_binary_that_is_roots_is_for_sites_with_confined_areas_too(configured, areas, binary):
    vhost = make_vhost(0, venv="/home/jess/venv", binary="/usr/bin/python3.11", **areas)
    assert module.pool_plan(configured(vhost), vhost, 1, privileged=True, tmp_dir=None)["binary"] == binary


# --- fronts

ALL_OF_THEM = ("post_max_size", "request_timeout", "max_input_time")


def rows(configured, *vhosts):
    return module.front_settings(configured(*vhosts), 1, 5, 7, "/spool/bodies")["sites"]


def test_a_site_knows_its_parts(configured):
    vhosts = (
        make_vhost(0),
        make_vhost(1),
        make_vhost(2, part_of=0, prefix="/a"),
        make_vhost(3, part_of=0, prefix="/a/b"),
        make_vhost(4, part_of=1, prefix="/c"),
    )
    found = rows(configured, *vhosts)
    assert [row["parts"] for row in found] == [[["/a/b", 3], ["/a", 2]], [["/c", 4]], [], [], []]
    assert [row["part_of"] for row in found] == [None, None, 0, 0, 1]


def test_limits_without_a_word(configured):
    (row,) = rows(configured, make_vhost(0))
    assert row["limits"] == [
        [
            "",
            {
                "post_max_size": [8 * 2**20, True],
                "request_timeout": [None, True],
                "max_input_time": [None, True],
                "expose_server": True,
            },
        ]
    ]


def limits(configured, **fields):
    """By prefix, in their order."""
    return dict(rows(configured, make_vhost(0, **fields))[0]["limits"])


def test_what_a_site_may_change_is_not_final(configured):
    found = limits(configured, allow_override=ALL_OF_THEM, settings={"request_timeout": said(5.0, True)})[""]
    assert (found["post_max_size"], found["request_timeout"], found["max_input_time"]) == (
        [8 * 2**20, False],
        [5.0, True],
        [None, False],
    )


def test_limits_of_prefixes(configured):
    found = limits(
        configured,
        public="/srv/public",
        settings={"post_max_size": said(100)},
        directories=(area("/srv", request_timeout=said(9.0)), area("/srv/public/a/b", post_max_size=said(None))),
        locations=(
            area("/a", post_max_size=said(7, True)),
            area("/c", umask=said(0)),
            area("/d", expose_server=said(False)),
        ),
    )
    assert list(found) == ["/d", "/a", ""], "the longest first, and none without a difference"
    sizes = {prefix: row["post_max_size"] for prefix, row in found.items()}
    assert sizes == {"/d": [100, True], "/a": [7, True], "": [100, True]}
    assert {row["request_timeout"][0] for row in found.values()} == {9.0}
    assert [prefix for prefix, row in found.items() if not row["expose_server"]] == ["/d"]


def test_a_part_is_told_the_same(configured):
    locations = (area("/a", post_max_size=said(1)),)
    found = rows(
        configured, make_vhost(0, locations=locations), make_vhost(1, locations=locations, part_of=0, prefix="/a")
    )
    assert found[0]["limits"] == found[1]["limits"] and len(found[0]["limits"]) == 2


SEGMENTS = st.lists(st.sampled_from("ab"), max_size=3).map("/".join)
TABLES = st.fixed_dictionaries(
    {},
    optional={
        "post_max_size": st.builds(said, st.none() | st.integers(1, 2), st.booleans()),
        "expose_server": st.builds(said, st.booleans(), st.booleans()),
        "umask": st.builds(said, st.just(0), st.booleans()),
    },
)


@given(
    st.dictionaries(SEGMENTS, TABLES, max_size=4), st.dictionaries(SEGMENTS, TABLES, max_size=4), TABLES, SEGMENTS,
    st.booleans(),
)  # fmt: skip
def test_the_longest_prefix_says_what_holds(
    directories: dict[str, Any], locations: dict[str, Any], own: dict[str, Any], path: str, public: bool
) -> None:
    vhost = make_vhost(
        0,
        settings=own,
        public="/p" if public else None,
        file="/p/a/b",
        allow_override=("post_max_size",),
        directories=sorted_areas(directories, "/p"),
        locations=sorted_areas(locations, ""),
    )
    url = f"/{path}".rstrip("/")
    rows = module.front_limits(vhost)
    assert rows[-1][0] == "" and json.loads(json.dumps(rows)) == rows
    found = next(row for prefix, row in rows if not prefix or is_within(url, str(prefix)))
    assert found == module.limits_at(coverage_of(vhost).said_at(url), vhost.allow_override)


def sorted_areas(tables: dict[str, Any], above: str) -> tuple[Area, ...]:
    found = [Area(f"{above}/{path}".rstrip("/"), settings, "") for path, settings in tables.items()]
    return tuple(sorted(found, key=lambda each: (len(each.path), each.path)))
