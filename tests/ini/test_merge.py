"""What holds for a request.  The examples are those of PHP's manual; the rules hold for any tables."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.ini.merge import Merged, Remark, Said, merge
from itkwsgi.ini.tighter import ONLY_NARROWED, tightens

if TYPE_CHECKING:
    from itkwsgi.ini.merge import Table

    Case = tuple[Table, list[Table], list[Table], list[Table]]

M = 2**20


def value(name: str, said: Any, where: str = "itk.toml:1") -> Table:
    return {name: Said(said, False, where)}


def admin(name: str, said: Any, where: str = "itk.toml:2") -> Table:
    return {name: Said(said, True, where)}


EXAMPLES = [
    # configuration.changes: php_value in httpd.conf, and in .htaccess over it.
    pytest.param(value("include_path", ("/usr/share/php",)), [], [], [], ("/usr/share/php",), id="php_value"),
    pytest.param(value("display_errors", True), [], [value("display_errors", False)], [], False, id=".htaccess"),
    # configuration.changes: what php_admin_value says is not overridden by .htaccess.
    pytest.param(admin("memory_limit", 64 * M), [], [value("memory_limit", 512 * M)], [], 64 * M, id="php_admin_value"),
    pytest.param(
        admin("memory_limit", 64 * M), [value("memory_limit", 512 * M)], [], [], 64 * M, id="php_value is none either"
    ),
    # configuration.changes: php_admin_value of a directory, in httpd.conf, is one of the administrator's too.
    pytest.param(
        admin("memory_limit", 64 * M),
        [admin("memory_limit", 512 * M)],
        [],
        [],
        512 * M,
        id="php_admin_value of Directory",
    ),
    pytest.param(
        value("memory_limit", 512 * M),
        [admin("memory_limit", 64 * M)],
        [value("memory_limit", 128 * M)],
        [],
        64 * M,
        id="php_admin_value of Directory over php_value",
    ),
    # configuration.changes: none clears what was set.
    pytest.param(value("auto_prepend_file", "/x.py"), [value("auto_prepend_file", None)], [], [], None, id="none"),
    pytest.param(
        admin("open_basedir", ("/a",)), [], [value("open_basedir", ())], [], ("/a",), id="none clears no wall"
    ),
    # configuration.file.per-user: from the document root down to the directory, the nearest one last.
    pytest.param(
        {}, [], [value("post_max_size", 1), value("post_max_size", 2), value("post_max_size", 3)], [], 3, id=".user.ini"
    ),
    # ini.core, open_basedir: tightened at run time, never loosened.
    pytest.param(
        value("open_basedir", ("/srv",)), [], [value("open_basedir", ("/srv/a",))], [], ("/srv/a",), id="tightened"
    ),
    pytest.param(
        value("open_basedir", ("/srv/a",)), [], [value("open_basedir", ("/srv",))], [], ("/srv/a",), id="not loosened"
    ),
    pytest.param({}, [], [value("open_basedir", ("/a",)), value("open_basedir", ())], [], ("/a",), id="by itself"),
    # Apache's own order (sections): Location comes after Directory and .htaccess.
    pytest.param(
        value("umask", 1),
        [value("umask", 2), value("umask", 3)],
        [value("umask", 4)],
        [value("umask", 5)],
        5,
        id="order",
    ),
    pytest.param(value("umask", 1), [value("umask", 2)], [value("umask", 4)], [], 4, id="order of files"),
    pytest.param({}, [], [value("umask", 4)], [admin("umask", 7), value("umask", 5)], 7, id="Location fixes"),
]


@pytest.mark.parametrize(("site", "directories", "files", "locations", "expected"), EXAMPLES)
def test_worked_examples(
    site: Table, directories: list[Table], files: list[Table], locations: list[Table], expected: Any
) -> None:
    merged = merge(site, directories, files, locations)
    assert [said.value for said in merged.settings.values()] == [expected]


def test_what_of_a_sites_file_has_no_effect_is_a_remark() -> None:
    merged = merge(
        {**admin("umask", 7, "itk.toml:3"), **value("open_basedir", ("/a",), "itk.toml:4")},
        files=[{**value("umask", 0, "/a/.itk.toml:1"), **value("open_basedir", ("/",), "/a/.itk.toml:2")}],
    )
    assert list(map(str, merged.remarks)) == [
        "/a/.itk.toml:1: umask: has no effect: it is fixed at itk.toml:3",
        "/a/.itk.toml:2: open_basedir: has no effect: it can only be narrowed, and itk.toml:4 holds",
    ]


def test_a_location_has_the_last_word_on_open_basedir_too() -> None:
    """The administrator may widen what he said himself: that place is served by a pool of its own."""
    merged = merge(value("open_basedir", ("/a",)), locations=[value("open_basedir", ("/",))])
    assert merged.settings["open_basedir"].value == ("/",)


# --- for any tables

NAMES = ("umask", "memory_limit", "open_basedir", "timezone")
tables = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        Said,
        st.sampled_from([(), ("/a",), ("/a/b",), ("/a/b", "/c"), ("/c",)]),
        st.booleans(),
        st.integers(1, 99).map(str),
    ),
)
own_tables = tables.map(lambda table: {name: Said(said.value, False, said.where) for name, said in table.items()})
many = st.lists(tables, max_size=3)
cases = st.tuples(tables, many, st.lists(own_tables, max_size=3), many)


def outcome(merged: Merged) -> tuple[Table, list[str]]:
    return merged.settings, sorted(map(str, merged.remarks))


@given(cases)
def test_an_admin_value_always_wins(case: Case) -> None:
    """Of those that say a name, the last one that fixes it."""
    site, directories, _, locations = case
    settings = merge(*case).settings
    for name in NAMES:
        fixing = [table[name] for table in (site, *directories, *locations) if name in table and table[name].fixed]
        if fixing:
            assert settings[name] is fixing[-1]
        else:
            assert name not in settings or not settings[name].fixed


@given(cases)
def test_an_own_file_never_changes_a_fixed_name(case: Case) -> None:
    site, directories, _, locations = case
    without = merge(site, directories, [], locations).settings
    for name, said in merge(*case).settings.items():
        if said.fixed:
            assert without[name] == said


@given(cases)
def test_own_files_only_narrow_open_basedir(case: Case) -> None:
    site, directories, files, _ = case
    for count in range(len(files)):
        before = merge(site, directories, files[:count]).settings
        after = merge(site, directories, files[: count + 1]).settings
        for name in ONLY_NARROWED:
            assert tightens(name, after.get(name), before.get(name))


@given(cases)
def test_nothing_is_lost_in_silence(case: Case) -> None:
    """What a file of the site says holds after the files, or a later file says it too, or there is a remark."""
    site, directories, files, _ = case
    merged = merge(site, directories, files)
    remarked = {(remark.where, remark.name) for remark in merged.remarks}
    for index, table in enumerate(files):
        for name, said in table.items():
            later = any(name in other for other in files[index + 1 :])
            assert later or merged.settings[name] is said or (said.where, name) in remarked


@given(cases, st.randoms(use_true_random=False))
def test_the_order_within_a_table_never_matters(case: Case, chance: random.Random) -> None:
    def shuffled(table: Table) -> Table:
        pairs = list(table.items())
        chance.shuffle(pairs)
        return dict(pairs)

    site, *rest = case
    assert outcome(merge(shuffled(site), *([shuffled(table) for table in kind] for kind in rest))) == outcome(
        merge(*case)
    )


@given(st.lists(own_tables, max_size=4), tables, st.randoms(use_true_random=False))
def test_the_order_of_tables_that_say_different_names_never_matters(
    found: list[Table], site: Table, chance: random.Random
) -> None:
    distinct: list[Table] = []
    for table in found:
        names = {name for other in distinct for name in other}
        distinct.append({name: said for name, said in table.items() if name not in names})
    moved = list(distinct)
    chance.shuffle(moved)
    assert merge(site, distinct).settings == merge(site, moved).settings
    assert outcome(merge(site, files=distinct)) == outcome(merge(site, files=moved))
    assert merge(site, locations=distinct).settings == merge(site, locations=moved).settings


@given(cases)
def test_no_table_is_changed(case: Case) -> None:
    copies = (dict(case[0]), *([dict(table) for table in kind] for kind in case[1:]))
    merge(*case)
    assert case == copies


def test_said_and_remarks_show_themselves() -> None:
    assert Said(1, True, "f:1") == Said(1, True, "f:1") != Said(1, False, "f:1")
    assert len({Said(1, True, "f:1"), Said(1, True, "f:1")}) == 1 and Said(1, True, "f:1") != 1
    assert repr(Said(1, True, "f:1")) == "Said(1, True, 'f:1')"
    assert str(Remark("f:1", "", "is not read")) == "f:1: is not read"
