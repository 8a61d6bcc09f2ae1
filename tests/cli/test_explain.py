"""``itkwsgi explain``: the same knowledge as the server's, before anything runs."""

from __future__ import annotations

import json
import os
import re
import tomllib
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.cli.explain import explained, toml_text
from itkwsgi.cli.explain_text import lines
from itkwsgi.cli.find_site import NoSite
from itkwsgi.config.load import load
from itkwsgi.config.machine import Accounts
from itkwsgi.ini.merge import Said
from itkwsgi.ini.registry import BY_NAME, SETTINGS
from itkwsgi.ini.setting import NONE, SYSTEM
from itkwsgi.runtime.scopes import Scopes
from itkwsgi.runtime.settings import Explanation
from itkwsgi.supervisor.settings import pool_settings

NOT_ROOT = os.geteuid() != 0
STYLE = re.compile(r"\x1b\[[0-9;]*m")

EXTRA = """
public = "site/public"
env = { TZ = "Europe/Paris" }
[vhost.value]
post_max_size = "1M"
warnings = ["error", "ignore::DeprecationWarning", "default:a rather long message of a warning:UserWarning"]
[vhost.admin_value]
memory_limit = "64M"
[[vhost.directory]]
path = "site/public/reports"
value = { max_execution_time = "5m" }
admin_value = { memory_limit = "256M" }
[[vhost.directory]]
path = "site/public/uploads"
engine = false
[[vhost.location]]
path = "/reports/big/"
value = { post_max_size = "1G" }
"""
OWN = "[value]\ntimezone = 'Asia/Tokyo'\nmemory_limit = '1G'\nnonsense = 1\ninclude_path = ['lib', 'more']\n"


@pytest.fixture
def site(operator: Any) -> Any:
    config = operator.write_good()
    config.write_text(config.read_text() + EXTRA)
    reports = operator.place / "site/public/reports"
    reports.mkdir(parents=True)
    (reports / ".itk.toml").write_text(OWN)
    return operator


def found(site: Any, url: str, *options: str) -> Any:
    done = site.run("explain", "itk.toml", url, "--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def line_of(site: Any, text: str) -> str:
    """Where in itk.toml that stands."""
    rows = (site.place / "itk.toml").read_text().splitlines()
    return f"itk.toml:{next(number for number, row in enumerate(rows, 1) if text in row)}"


# --- what it says


def test_each_setting_has_its_value_and_where_it_was_said(site: Any) -> None:
    said = found(site, "http://a.example:8080/reports/x")
    own = f"{site.place}/site/public/reports/.itk.toml"
    assert (said["vhost"], said["file"]) == ("a.example", f"{site.place}/site/public/reports/x")
    assert said["directories"] == [{"path": f"{site.place}/site/public/reports", "where": line_of(site, "directory")}]
    assert said["locations"] == [] and said["files"] == [own]
    assert list(said["settings"]) == [setting.name for setting in SETTINGS]
    assert said["settings"]["memory_limit"] == {
        "value": 256 * 2**20,
        "text": "256M",
        "master": 64 * 2**20,
        "mode": "ALL",
        "origin": line_of(site, "256M"),
        "fixed": True,
        "locked": True,
        "enforced": "kernel",
        "unit": "bytes",
    }
    zone = said["settings"]["timezone"]
    assert (zone["value"], zone["master"], zone["origin"]) == ("Asia/Tokyo", "Europe/Paris", f"{own}:2")
    assert said["settings"]["umask"]["origin"] == "default"
    assert (said["pool"], said["pool_for"]) == ("/reports", ["memory_limit"])  # more than the site's own pool may have
    assert said["remarks"] == [
        f'{own}:4: "nonsense": unknown setting',
        f"{own}:3: memory_limit: has no effect: it is fixed at {line_of(site, '256M')}",
    ]


def test_outside_the_directory_nothing_of_it_holds(site: Any) -> None:
    said = found(site, "a.example/reportsx")
    assert said["directories"] == said["files"] == said["remarks"] == said["pool_for"] == [] and said["pool"] == ""
    assert said["settings"]["memory_limit"]["value"] == 64 * 2**20
    assert said["settings"]["timezone"]["origin"] == "env"


@pytest.mark.parametrize("path", ["/reports/big", "/reports//big/x?y=1", "/x/../reports/./big/x", "/reports/b%69g/"])
def test_locations_by_whole_segments_of_the_decoded_path(site: Any, path: str) -> None:
    said = found(site, f"http://a.example{path}")
    assert said["locations"] == [{"path": "/reports/big", "where": line_of(site, "[[vhost.location]]")}]
    assert said["settings"]["post_max_size"]["value"] == 2**30
    assert found(site, "http://a.example/reports/bigger")["locations"] == []


def test_who_the_site_is(site: Any) -> None:
    said = found(site, "a.example")
    ids = {key: said[key] for key in ("user", "uid", "group", "gid")}
    if NOT_ROOT:
        assert (ids["uid"], ids["gid"]) == (os.geteuid(), os.getegid())
    else:
        assert ids == {"user": "50001", "uid": 50001, "group": "50001", "gid": 50001}
    assert (said["app"], said["root"]) == (f"{site.place}/site/app.py", f"{site.place}/site")


def test_where_nothing_runs_no_app_is_the_handler(site: Any) -> None:
    assert found(site, "a.example/uploads/x.py")["handler"] == NONE
    assert found(site, "a.example/")["handler"] == "app"
    shown = site.run("explain", "itk.toml", "a.example/uploads/x.py").stdout
    assert "\nhandler    none: engine is off, the answer is 403\n" in shown


def test_what_neither_files_nor_code_can_set_is_locked(site: Any) -> None:
    rows = found(site, "a.example/")["settings"]
    locked = {name for name, row in rows.items() if row["locked"]}
    assert locked == {setting.name for setting in SETTINGS if setting.mode == SYSTEM} | {"memory_limit"}
    config = site.place / "itk.toml"
    config.write_text(config.read_text().replace("public =", 'allow_override = ["engine"]\npublic ='))
    rows = found(site, "a.example/reports/")["settings"]
    locked = {name for name, row in rows.items() if row["locked"]}
    assert locked == {name for name in rows if BY_NAME[name].mode != "ALL"} - {"engine"} | {"memory_limit"}
    assert rows["timezone"]["origin"] == "env", "and what is not granted has no effect"


def test_without_allow_override_no_file_is_read(site: Any) -> None:
    config = site.place / "itk.toml"
    config.write_text(config.read_text().replace("public =", "allow_override = []\npublic ="))
    said = found(site, "a.example/reports/")
    assert said["files"] == said["remarks"] == []


def test_a_broken_site_is_said_to_be(site: Any) -> None:
    config = site.place / "itk.toml"
    config.write_text(config.read_text().replace('app = "app.py"', 'app = "none.py"'))
    said = found(site, "a.example/")
    assert len(said["problems"]) == 1 and said["problems"][0].endswith("/site/none.py does not exist")
    assert f"\nbroken     {said['problems'][0]}\n" in site.run("explain", "itk.toml", "a.example/").stdout


@pytest.mark.skipif(NOT_ROOT, reason="only root can be somebody else")
def test_a_site_without_a_user_has_its_files_left_alone(site: Any) -> None:
    config = site.place / "itk.toml"
    config.write_text(config.read_text().replace("user = 50001", 'user = "nobody-of-that-name"'))
    said = found(site, "a.example/reports/")
    assert (said["user"], said["uid"], said["files"]) == (None, None, [])
    assert said["remarks"] == [f"{site.place}/site: the site's own files are not looked at: it has no user"]


@pytest.mark.skipif(NOT_ROOT, reason="only root can be somebody else")
def test_what_the_sites_user_cannot_read_is_not_read(site: Any) -> None:
    file = site.place / "site/public/reports/.itk.toml"
    file.chmod(0o600)
    said = found(site, "a.example/reports/")
    assert said["settings"]["timezone"]["value"] == "Europe/Paris"
    assert said["remarks"] == [f"{file}: cannot be read: Permission denied"]


def test_what_leads_out_of_the_site_is_not_read(site: Any) -> None:
    (site.place / "elsewhere").mkdir()
    (site.place / "elsewhere/.itk.toml").write_text("[value]\ntimezone = 'America/Lima'\n")
    (site.place / "site/public/link").symlink_to(site.place / "elsewhere")
    said = found(site, "a.example/link/x")
    assert said["settings"]["timezone"]["value"] == "Europe/Paris"
    assert len(said["remarks"]) == 1 and "a link leads to it" in said["remarks"][0]


# --- it is the same knowledge


@pytest.mark.parametrize(
    "path",
    ["/", "/x", "/reports", "/reports/", "/reports/big/x", "/reports//big", "/reportsx", "/uploads/a", "/ü", "/%ff/x"],
)
def test_the_sites_own_processes_come_to_the_same(site: Any, path: str) -> None:
    config = load(str(site.place / "itk.toml"))
    vhost = config.sites[0]
    scopes = Scopes(pool_settings(vhost, config, tmp_dir=None, abi=0), vhost.file)
    scopes.site["timezone"] = Said("Europe/Paris", False, "env")  # as runtime/governing.py has it
    wire = path.replace("%ff", "\udcff").encode("utf-8", "surrogateescape").decode("latin-1")
    theirs = scopes.of_request(wire)
    said = explained(config, f"a.example{path}", Accounts())
    for setting in SETTINGS:
        row = said["settings"][setting.name]
        of_runtime = theirs.settings.get(setting.name)
        explanation = Explanation(setting, setting.python(theirs.value(setting.name)), None, of_runtime)
        for key in ("value", "mode", "origin", "fixed", "enforced", "unit"):
            assert row[key] == explanation[key], (setting.name, key)
    assert said["remarks"] == theirs.remarks


# --- forms


def test_toml_says_the_same(site: Any) -> None:
    done = site.run("explain", "--toml", "--config", "itk.toml", "a.example/reports/")
    assert (done.returncode, done.stderr) == (0, "")
    said, as_json = tomllib.loads(done.stdout), found(site, "a.example/reports/")
    assert said["settings"]["error_log"]["value"] == NONE and as_json["settings"]["error_log"]["value"] is None
    assert said == without_null(as_json)


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_null(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_null(each) for each in value]
    return NONE if value is None else value


def test_names_that_are_no_text_have_a_form_in_toml_too(site: Any) -> None:
    assert found(site, "a.example/%ff")["file"] == f"{site.place}/site/public/\udcff"
    done = site.run("explain", "--toml", "itk.toml", "a.example/%ff")
    assert tomllib.loads(done.stdout)["file"] == f"{site.place}/site/public/\\udcff"
    assert f"file       {site.place}/site/public/\\udcff\n" in site.run("explain", "itk.toml", "a.example/%ff").stdout


@given(st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.none() | st.text() | st.lists(st.text())))
def test_any_text_comes_through_toml(values: dict[str, Any]) -> None:
    text = toml_text({**values, "zz": [{"a": 1}]})
    assert tomllib.loads(text) == {**without_null(values), "zz": [{"a": 1}]}


def test_a_line_for_each_that_is_never_cut(site: Any) -> None:
    done = site.run("explain", "itk.toml", "a.example/reports/")
    assert (done.returncode, done.stderr) == (0, "") and "\x1b" not in done.stdout
    heads, table, notes = done.stdout.split("\n\n")
    assert len(table.splitlines()) == 1 + len(SETTINGS)
    rows = {row.split()[0]: row for row in table.splitlines()}
    assert rows["memory_limit"].split() == ["memory_limit", "256M", "fixed", "kernel", line_of(site, "256M")]
    assert rows["expose_server"].split() == ["expose_server", "on", "locked", "runtime", "default"]
    assert "a rather long message of a warning" in rows["warnings"] and line_of(site, "rather") in rows["warnings"]
    assert rows["umask"].index("default") == rows["memory_limit"].index("itk.toml"), "columns are aligned"
    assert heads.startswith(f"site       a.example ({line_of(site, 'vhost')}), by its name on 127.0.0.1:8080\n")
    assert "\npool       its own, for /reports (memory_limit)\n" in heads
    assert all(note.startswith("note: ") for note in notes.splitlines())


@pytest.mark.parametrize("width", [50, 80, 100, 160])
def test_on_a_terminal_it_fits(site: Any, width: int) -> None:
    """Nothing is left out, and no line is longer than the terminal but for a word that is."""
    shown = site.on_terminal(width, "explain", "itk.toml", "a.example/reports/")
    text = STYLE.sub("", shown)
    for line in text.splitlines():
        assert len(line) <= width or len(line.split()[-1]) > width - 25, line
    plain = site.run("explain", "itk.toml", "a.example/reports/").stdout
    if width < 80:
        plain = "\n".join(line for line in plain.splitlines() if not line.startswith("setting "))
    assert sorted(text.replace(",", "").split()) == sorted(plain.replace(",", "").split())
    assert "\x1b[1mmemory_limit" in shown and "\x1b[1mumask" not in shown


HOSTILE = "\x1b[2Jx\r\n\x9b31m\u202e\udcff"


@given(st.sampled_from([None, 50, 80, 160]), st.text() | st.just(HOSTILE))
def test_a_terminal_obeys_nothing_that_a_site_says(width: int | None, text: str) -> None:
    row = {"text": text, "origin": text, "fixed": False, "locked": False, "enforced": "runtime"}
    said = {
        "vhost": text, "where": text, "found": text, "listen": text, "problems": [text], "user": text, "uid": 1,
        "group": text, "gid": 1, "groups": [], "app": text, "handler": "app", "pool": text, "pool_for": [text],
        "root": text, "file": text, "directories": [{"path": text, "where": text}], "files": [text],
        "locations": [{"path": text, "where": text}], "remarks": [text], "settings": {"umask": row},
    }  # fmt: skip
    assert all(line.isprintable() for line, _ in lines(said, width))


# --- what cannot be


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["itk.toml", "http://other.example/"], "itk.toml: no site answers for other.example: the answer is 421"),
        (["itk.toml", "http://a.example:81/"], "itk.toml: nothing listens on port 81 (the server listens on 127.0.0.1"),
        (["itk.toml", "ftp://a.example/"], "is no URL of a site"),
        (["itk.toml", "http://a.example:port/"], "is no URL"),
        (["itk.toml", "http://a.example/../x"], "the answer is 400"),
        (["missing.toml", "a.example"], "missing.toml: cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_explained(site: Any, words: list[str], message: str) -> None:
    done = site.run("explain", *words)
    assert done.returncode == 1 and message in done.stderr and done.stdout == "" and "Traceback" not in done.stderr


def test_of_a_faulty_configuration_every_fault_is_said(site: Any) -> None:
    site.write("x = 1\ny = 2\n")
    done = site.run("explain", "itk.toml", "a.example")
    assert (done.returncode, done.stdout) == (1, "")
    assert {"itk.toml:1: x: unknown key", "itk.toml:2: y: unknown key"} <= set(done.stderr.splitlines())
    assert done.stderr.endswith("\nitk.toml: nothing would be served\n")


@pytest.mark.parametrize("words", [[], ["itk.toml", "a.example", "--config", "itk.toml"], ["a", "b", "c"]])
def test_one_configuration_and_one_url(site: Any, words: list[str]) -> None:
    assert site.run("explain", *words).returncode == 2


@given(st.text(max_size=30))
def test_any_url_is_explained_or_refused(url: str) -> None:
    with pytest.raises(NoSite):
        explained(SimpleNamespace(listens=(), sites=(), vhosts=()), url, Accounts())  # type: ignore[arg-type]
