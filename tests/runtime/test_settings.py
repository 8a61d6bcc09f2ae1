"""The settings as a site's code has them: what it may set, what that does, and that none of it stays."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from itkwsgi.errors import SettingLocked
from itkwsgi.ini.registry import BY_NAME, SETTINGS
from itkwsgi.ini.setting import ALL, SYSTEM
from itkwsgi.runtime.governing import Governing
from itkwsgi.runtime.settings import Settings
from tests.support.forked import in_child
from tests.support.running import NO_WALLS, RunningPool

TUNED = (Path(__file__).parents[1] / "support/tuned_site.py").read_text()
MEGA = 2**20


def governing(site: dict[str, Any] | None = None, **more: Any) -> Governing:
    plain = {
        "site": site or {},
        "holding": {},
        "directories": [],
        "locations": [],
        "override": None,
        "public": "",
        "root": "/srv/a",
        "filters": {},
        "domain": None,
        "untraced": None,
        **more,
    }
    plan = {"settings": plain, "app": "app", "root": "/srv/a", "tmp_dir": None, "env": {}, "requests_per_child": 1}
    return Governing({**plan, "confine": NO_WALLS})


@pytest.fixture
def settings() -> Settings:
    return governing({"memory_limit": (64 * MEGA, True, "itk.toml:9"), "umask": (0o027, False, "itk.toml:4")}).settings


def test_a_mapping_of_all_there_are(settings: Settings) -> None:
    assert isinstance(settings, Mapping) and len(settings) == len(SETTINGS)
    assert list(settings) == list(BY_NAME) and "umask" in settings and "nonsense" not in settings
    assert settings["umask"] == settings.get("umask") == 0o027
    assert settings.get("nonsense") is None and settings.get("nonsense", 5) == 5
    with pytest.raises(KeyError, match="did you mean umask"):
        settings["umaks"]


def test_values_are_pythons_own(settings: Settings) -> None:
    assert settings["memory_limit"] == 64 * MEGA and settings["max_execution_time"] == 30.0
    assert settings["display_errors"] is False and settings["timezone"] == "UTC"
    assert settings["open_basedir"] is None and settings["error_log"] is None and settings["request_timeout"] is None


def test_an_explanation_is_four_things_and_more(settings: Settings) -> None:
    value, master, mode, origin = settings.explain("memory_limit")
    assert (value, master, mode, origin) == (64 * MEGA, 64 * MEGA, "ALL", "itk.toml:9")
    found = settings.explain("memory_limit")
    assert (found.fixed, found.enforced, found.unit, found.origin) == (True, "kernel", "bytes", "itk.toml:9")
    assert (found["value"], found["mode"], found["fixed"]) == (64 * MEGA, "ALL", True)
    assert settings.explain("timezone").origin == "default" and not settings.explain("timezone").fixed
    with pytest.raises(KeyError):
        settings.explain("nonsense")


@pytest.mark.parametrize("setting", [each for each in SETTINGS if each.mode != ALL], ids=lambda each: each.name)
def test_code_may_not_set_what_is_not_for_it(settings: Settings, setting: Any) -> None:
    with pytest.raises(SettingLocked, match=setting.mode):
        settings.set(setting.name, setting.default)


def test_code_may_not_set_what_is_fixed(settings: Settings) -> None:
    with pytest.raises(SettingLocked, match=r"fixed at itk\.toml:9"):
        settings.set("memory_limit", "32M")
    assert issubclass(settings.SettingLocked, SettingLocked)


@pytest.mark.parametrize(("name", "value"), [("umask", "rwx"), ("display_errors", 2), ("locale", "xx_XX.UTF-8")])
def test_what_is_no_value(settings: Settings, name: str, value: object) -> None:
    before = settings[name]
    with pytest.raises(ValueError):
        settings.set(name, value)
    assert settings[name] == before


def test_set_gives_the_value_of_before_and_restore_brings_it_back(settings: Settings) -> None:
    assert settings.set("error_log", Path("/srv/a/log")) is None
    assert settings["error_log"] == "/srv/a/log" and settings.explain("error_log").origin == "set by code"
    assert settings.set("error_log", None) == "/srv/a/log" and settings["error_log"] is None
    settings.set("display_errors", "on")
    settings.restore("error_log")
    assert settings["error_log"] is None and settings.explain("error_log").origin == "default"
    assert settings["display_errors"] is True
    settings.restore()
    assert settings["display_errors"] is False


def test_a_limit_beyond_the_hard_one_is_locked() -> None:
    def attempt() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MEGA, 2 * MEGA))
        found = governing().settings
        found.set("max_file_size", 2 * MEGA)
        assert resource.getrlimit(resource.RLIMIT_FSIZE) == (2 * MEGA, 2 * MEGA)
        with pytest.raises(SettingLocked) as caught:
            found.set("max_file_size", 3 * MEGA)
        return str(caught.value)

    assert "hard limit" in in_child(attempt)


def test_what_is_set_at_import_is_the_sites_own_default() -> None:
    one = governing({}, locations=[["/a", {"error_log": ("/loc", False, "itk.toml:2")}]])
    one.settings.set("error_log", "/code")
    scope = one.scopes.of_request("/b")
    one.settings.enter(scope)
    assert one.settings["error_log"] == "/code" and one.settings.explain("error_log").origin == "set by code"
    one.settings.enter(one.scopes.of_request("/a/x"))
    assert one.settings["error_log"] == "/loc"
    one.settings.set("error_log", "/request")
    one.settings.enter(one.scopes.of_request("/b"))
    assert one.settings["error_log"] == "/code"


# --- in a request


@pytest.fixture
def do(pool: Any, place: Path) -> Any:
    """Start a pool with these settings of the site; returns what runs code in a request and gives what it found."""
    import json

    from tests.runtime.test_effects import domain

    def start(fixed: bool = False, plan: Any = None, more: Any = None, **site: Any) -> Any:
        settings = {
            "site": {name: (value, fixed, "itk.toml:7") for name, value in site.items()},
            "holding": {},
            "directories": [],
            "locations": [],
            "override": [each.name for each in SETTINGS if each.mode != SYSTEM],
            "public": "",
            "root": str(place),
            "filters": {},
            "domain": domain(place),
            "untraced": None,
            **(more or {}),
        }
        one: RunningPool = pool(TUNED, settings=settings, **(plan or {}))

        def ask(code: str, path: str = "/") -> Any:
            answer = one.ask(path, HTTP_DO=code)
            assert answer.status == 200, one.log()
            return json.loads(answer.body)

        ask.one = one  # type: ignore[attr-defined]
        return ask

    return start


LIMIT = "resource.getrlimit(resource.RLIMIT_DATA)[0]"


def test_effects_are_at_once_and_end_with_the_request(do: Any) -> None:
    ask = do(memory_limit=500 * MEGA)
    code = f"""
settings.set('memory_limit', '400M')
settings.set('timezone', 'JST-9')
settings.set('umask', '0077')
found = [{LIMIT}, time.strftime('%H', time.localtime(0)), os.umask(0), environ['itkwsgi.settings'] is settings]
"""
    assert ask(code) == [400 * MEGA, "09", 0o077, True]
    after = f"found = [{LIMIT}, time.strftime('%H', time.localtime(0)), os.umask(0)]"
    assert ask(after) == [500 * MEGA, "00", 0o022]


@pytest.mark.parametrize("per_child", [0, 50])
def test_they_end_with_the_request_in_a_process_that_goes_on(do: Any, per_child: int) -> None:
    ask = do(memory_limit=500 * MEGA, plan={"requests_per_child": per_child, "max_children": 1})
    facts = f"found = [{LIMIT}, time.tzname[0], sys.path, dict(os.environ), sys.getrecursionlimit(), os.getpid()]"
    before = ask(facts)
    for setting, value in (
        ("memory_limit", "400M"),
        ("timezone", "JST-9"),
        ("include_path", ["/srv/lib"]),
        ("recursion_limit", 500),
        ("max_execution_time", 5),
        ("locale", "POSIX"),
        ("tmp_dir", "/tmp"),
    ):
        ask(f"settings.set({setting!r}, {value!r})\nfound = settings[{setting!r}]")
    assert ask(facts) == before


def test_a_process_that_took_on_something_for_good_serves_no_other_request(do: Any) -> None:
    here = {"locations": [["/hard", {"max_open_files": (50, True, "itk.toml:7")}]]}
    ask = do(plan={"requests_per_child": 0, "max_children": 2}, more=here)
    pid = "found = os.getpid(), resource.getrlimit(resource.RLIMIT_NOFILE)[1]"
    first, hard = ask(pid, "/hard/")
    assert hard == 50
    second, lifted = ask(pid)
    assert second != first and lifted != 50


def test_the_timer_starts_anew(do: Any) -> None:
    ask = do(max_execution_time=0.6)
    burn = "end = time.process_time() + 0.4\nwhile time.process_time() < end: pass\n"
    assert ask(burn + "settings.set('max_execution_time', 0.6)\n" + burn + "found = 'whole'") == "whole"
    assert ask.one.ask("/", HTTP_DO=burn + burn).status == 500


def test_open_basedir_can_only_be_narrowed(do: Any, place: Path) -> None:
    ask = do()
    code = f"""
settings.set('open_basedir', [{str(place)!r}])
found = []
for attempt in (lambda: open('/etc/passwd'), lambda: settings.set('open_basedir', ['/etc']), settings.restore):
    try:
        attempt()
    except (PermissionError, SettingLocked) as error:
        found.append(type(error).__name__)
"""
    assert ask(code) == ["PermissionError", "SettingLocked", "SettingLocked"]
    assert ask("found = open('/etc/passwd').read(4)") == "root"


def test_an_own_file_shows_on_refresh_and_its_faults_are_in_the_log(do: Any, place: Path) -> None:
    """What lies beside the app holds for its import too: the pool makes room for one that imports under it."""
    ask = do()
    assert ask("found = settings['timezone']") == "UTC"
    (place / ".itk.toml").write_text("[value]\ntimezone = 'JST-9'\nnonsense = 1\n")
    code = "found = settings['timezone'], time.tzname[0], settings.explain('timezone').origin"
    assert ask(code) == ["JST-9", "JST", f"{place}/.itk.toml:2"]
    assert f'{place}/.itk.toml:3: "nonsense": unknown setting' in ask.one.log()
    assert [ask.one.said() for _ in range(2)] == [b"L", b""]


def test_what_a_spare_that_was_forked_later_meets_is_told_too(do: Any, place: Path) -> None:
    """It goes the way of a request before there is one; what is new there is for the request to say."""
    (place / "public/a").mkdir(parents=True)
    ask = do(more={"public": str(place / "public")})
    for number in range(4):
        assert ask("found = 1", "/a/x") == 1
        (place / "public/a/.itk.toml").write_text(f"[value]\nnonsense{number} = 1\n")
        ask("found = 1", "/")  # whoever waits now was forked after the edit
        ask("found = 1", "/")
        assert ask("found = 1", "/a/x") == 1
        assert ask.one.log().count(f'"nonsense{number}": unknown setting') >= 1


def test_what_one_child_met_the_next_ones_know(do: Any, place: Path) -> None:
    (place / "public/a").mkdir(parents=True)
    ask = do(more={"public": str(place / "public")})
    (place / "public/a/.itk.toml").write_text("[value]\ntimezone = 'JST-9'\nnonsense = 1\n")
    for _ in range(8):
        assert ask("found = time.tzname[0]", "/a/x") == "JST" and ask("found = time.tzname[0]", "/b") == "UTC"
    assert 1 <= ask.one.log().count("nonsense") < 8
    (place / "public/a/.itk.toml").write_text("[value]\ntimezone = 'NPT-5:45'\n")
    for _ in range(8):
        assert ask("found = time.tzname[0]", "/a/x") == "NPT"


def test_an_own_file_that_narrows_to_a_link_gets_no_further(do: Any, place: Path) -> None:
    """What it names is within by its text; where it leads the kernel would grant: so both walls are put up."""
    (place / "public").mkdir()
    (place / "all").symlink_to("/")
    said = {"open_basedir": ((str(place),), False, "itk.toml:7")}
    ask = do(more={"public": str(place / "public"), "directories": [[str(place / "public"), said]]})
    read = "try: found = open({!r}).read(1) != ''\nexcept PermissionError: found = 'refused'"
    (place / "public/.itk.toml").write_text("[value]\nopen_basedir = '../all'\n")
    assert ask(read.format("/etc/passwd")) == "refused"
    assert f"open_basedir: {place}/all" not in ask.one.log()


def test_optimize_of_a_directory_is_said_to_have_no_effect(do: Any, place: Path) -> None:
    (place / "public/a").mkdir(parents=True)
    (place / "public/a/.itk.toml").write_text("[value]\noptimize = 1\n")
    ask = do(more={"public": str(place / "public")})
    assert ask("found = sys.flags.optimize", "/a/") == 0
    assert f"{place}/public/a/.itk.toml:2: optimize: has no effect here" in ask.one.log()


def test_optimize_of_the_sites_own_file_is_had_by_another_interpreter(do: Any, place: Path) -> None:
    (place / ".itk.toml").write_text("[value]\noptimize = 1\n")
    ask = do()
    assert ask("found = sys.flags.optimize") == 1 and "no effect" not in ask.one.log()
