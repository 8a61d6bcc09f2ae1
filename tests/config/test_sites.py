"""One [[vhost]]: what it becomes, what only it loses by, and what refuses everything."""

from __future__ import annotations

import os

import pytest
from pretence import LISTEN, site

from itkwsgi.config.model import PoolSocket


def problems(pretence, vhost) -> list[str]:
    """Without file and line."""
    return [pretence.shorten(str(problem).partition(": ")[2]) for problem in vhost.problems]


def notes(pretence, text: str, user: str = "root") -> list[str]:
    return [pretence.shorten(str(note)) for note in pretence.load(text, user).notes]


# --- what it becomes


def test_a_site_as_small_as_can_be(pretence, one_site) -> None:
    vhost = one_site()
    assert (vhost.index, vhost.name, vhost.aliases, vhost.default) == (0, "a.example", (), False)
    assert [listen.text for listen in vhost.listens] == ["127.0.0.1:8080"]
    assert vhost.app == str(pretence.directory / "site/app.py")
    assert vhost.root == str(pretence.directory / "site")
    assert (vhost.environment, vhost.venv, vhost.python, vhost.pool_socket) == (None, None, None, None)
    assert (vhost.user, vhost.ids.uid, vhost.ids.gid, vhost.ids.groups) == (50001, 50001, 50001, ())
    assert vhost.problems == ()
    assert vhost.where == f"{pretence.directory}/itk.toml:3"


def test_what_is_said_is_taken(one_site) -> None:
    vhost = one_site(
        default="true",
        env='{ B = "2", A = "1" }',
        nice="-5",
        preload='"none"',
        requests_per_child="0",
        min_spare="3",
        idle_timeout="0",
        startup_timeout='"500ms"',
        no_new_privs="false",
        exit_grace="1.5",
        warmup='["/", "/a?b"]',
        server_signature='"off"',
        access_log='"a.log"',
    )
    assert vhost.default is True and vhost.env == (("B", "2"), ("A", "1")) and vhost.nice == -5
    assert (vhost.preload, vhost.requests_per_child, vhost.min_spare) == ("none", 0, 3)
    assert (vhost.idle_timeout, vhost.startup_timeout, vhost.exit_grace) == (0.0, 0.5, 1.5)
    assert (vhost.no_new_privs, vhost.server_signature, vhost.warmup) == (False, False, ("/", "/a?b"))
    assert vhost.access_log is not None and vhost.access_log.endswith("/a.log") and vhost.error_log is None


def test_aliases_stand_once(one_site) -> None:
    assert one_site(aliases='["B.example", "a.example.", "b.example", "*.a.example"]').aliases == (
        "b.example",
        "*.a.example",
    )


def test_its_own_listeners_and_no_others(one_site) -> None:
    assert [listen.text for listen in one_site(listen='["127.0.0.1:10084"]').listens] == ["127.0.0.1:10084"]


def test_root_is_the_directory_of_a_file_named_by_its_whole_path(pretence, one_site) -> None:
    assert one_site(root="", app=f'"{pretence.directory}/site/app.py:app"').root == str(pretence.directory / "site")


@pytest.mark.parametrize("name", ["wsgi.py", "wsgi/__init__.py"])
def test_a_module_that_could_be_a_file(pretence, one_site, name: str) -> None:
    pretence.write(f"site/blog/{name}")
    vhost = one_site(app='"blog.wsgi:application"')
    assert vhost.app == "blog.wsgi:application" and vhost.problems == ()
    assert one_site(app='"blog.wsgi"').problems == ()
    pretence.write("site/blog.wsgi")
    assert one_site(app='"blog.wsgi:application"').app == f"{pretence.directory}/site/blog.wsgi:application"


def test_what_root_may_not_see_is_judged_neither_way(pretence, one_site) -> None:
    """A home on NFS with root_squash: Django's blog.wsgi stays a module, and the site is not called broken."""
    real = pretence.lstat

    def lstat(path: str) -> os.stat_result:
        if pretence.shorten(path).startswith("site/"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    pretence.lstat = lstat
    for app in ("blog.wsgi:application", "blog.wsgi"):
        vhost = one_site(app=f'"{app}"')
        assert (vhost.app, vhost.problems) == (app, ())
    assert one_site().problems == ()


def test_nice_is_clamped_with_a_note(pretence) -> None:
    assert notes(pretence, LISTEN + site(nice="99")) == ["itk.toml:8: vhost.nice: 99 is beyond 19: 19 is used"]
    assert notes(pretence, LISTEN + site(nice="-21")) == ["itk.toml:8: vhost.nice: -21 is beyond -20: -20 is used"]
    assert pretence.load(LISTEN + site(nice="99")).vhosts[0].nice == 19
    assert notes(pretence, LISTEN + site(nice="-20")) == []


def test_groups_left_out_are_noted(pretence) -> None:
    assert notes(pretence, LISTEN + site(user="'jess'")) == [
        "itk.toml:3: vhost.groups: jess is also in root (gid 0), adm (gid 4): not allowed to sites, left out"
    ]


def test_a_pool_socket(pretence, one_site) -> None:
    path = str(pretence.directory / "run.sock")
    assert one_site(pool_socket='{ path = "run.sock" }').pool_socket == PoolSocket(path, 0, 0, 0o660)
    said = '{ path = "run.sock", owner = "nginx", group = "web", mode = "0600" }'
    assert one_site(pool_socket=said).pool_socket == PoolSocket(path, 990, 2000, 0o600)
    assert notes(pretence, LISTEN + site(pool_socket='{ path = "run.sock", mode = "0666" }')) == [
        "itk.toml:8: vhost.pool_socket: mode 0666: every user of this machine may connect"
    ]


# --- environments


@pytest.fixture
def environments(pretence) -> str:
    """Two environments, one of them the default."""
    for name in ("default", "other"):
        pretence.write(f"venv/{name}/pyvenv.cfg")
        pretence.write(f"venv/{name}/bin/python").chmod(0o755)
    return (
        '[environment.default]\nvenv = "venv/default"\n[environment.other]\nvenv = "venv/other"\npreload = ["flask"]\n'
    )


def test_the_environment_named_default_is_the_default(pretence, environments: str) -> None:
    config = pretence.load(LISTEN + site() + environments)
    assert config.vhosts[0].environment == "default" and config.problems == ()
    assert config.environments["other"].preload == ("flask",)
    assert config.environments["other"].venv == f"{pretence.directory}/venv/other"
    assert pretence.shorten(config.environments["other"].where) == "itk.toml:10"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"environment": '"other"'}, ("other", None, None)),
        ({"venv": '"venv/other"'}, (None, "venv/other", None)),
        ({"python": '"venv/other/bin/python"'}, (None, None, "venv/other/bin/python")),
    ],
)
def test_what_is_said_is_no_default(
    pretence, environments: str, said: dict[str, str], found: tuple[str | None, ...]
) -> None:
    vhost = pretence.load(LISTEN + site(**said) + environments).vhosts[0]
    shortened = [value and pretence.shorten(value) for value in (vhost.environment, vhost.venv, vhost.python)]
    assert tuple(shortened) == found and vhost.problems == ()


def test_environments_that_are_not_there(pretence, environments: str) -> None:
    assert pretence.refusal(LISTEN + site(environment='"othre"') + environments) == [
        "itk.toml:8: vhost.environment: there is no [environment.othre] (did you mean other?)"
    ]
    assert pretence.refusal(LISTEN + site(environment='"x"')) == [
        "itk.toml:8: vhost.environment: there is no [environment.x]"
    ]


def test_a_site_has_one_interpreter(pretence, environments: str) -> None:
    said = {"environment": '"other"', "venv": '"venv/other"', "python": '"venv/other/bin/python"'}
    assert (
        pretence.refusal(LISTEN + site(**said) + environments)
        == [
            "itk.toml:10: vhost.python: excludes environment: a site has one interpreter",
            "itk.toml:9: vhost.venv: excludes environment: a site has one interpreter",
        ][::-1]
    )


# --- what refuses everything


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"name": ""}, "vhost.name: is needed: the site's host name"),
        ({"app": ""}, "vhost.app: is needed: this version does not find an app by itself"),
        ({"root": ""}, "vhost.root: is needed: the site's directory"),
        ({"name": '"a b"'}, 'vhost.name: "a b" is not a host name'),
        ({"user": "0"}, "vhost.user: uid 0 is never allowed to a site"),
        ({"user": '"nginx"'}, "vhost.user: uid 990 is outside uid_range 1000 to 59999"),
        ({"min_spare": "-1"}, "vhost.min_spare: -1 is too small: at least 0"),
        ({"startup_timeout": "0"}, "vhost.startup_timeout: 0 is too short: it must be more than 0"),
        ({"preload": '"all"'}, 'vhost.preload: "all" is none of none, framework, app'),
        ({"pool_socket": "{}"}, "vhost.pool_socket.path: is needed: where the socket is to be"),
        ({"nice": "1.5"}, "vhost.nice: 1.5 is not a whole number"),
        ({"warmup": '["x"]'}, 'vhost.warmup: "x" is not the path of a URL (write "/" or "/path?query", in ASCII)'),
    ],
)
def test_what_is_wrong_for_everybody(refused_site, keys: dict[str, str], line: str) -> None:
    assert refused_site(**keys) == [line]


def test_a_colon_in_root_would_end_the_apps_name(pretence, refused_site) -> None:
    pretence.write("a:b/app.py")
    (line,) = refused_site(root='"a:b"')
    assert line.startswith("vhost.app: ") and "has a colon in it" in line


def test_no_listeners_of_its_own_are_the_servers(one_site) -> None:
    assert [listen.text for listen in one_site(listen="[]").listens] == ["127.0.0.1:8080"]


def test_without_any_listener(pretence) -> None:
    assert pretence.refusal(site()) == [
        "itk.toml:1: vhost.listen: neither the site nor [server] has an address to listen on"
    ]


# --- what only the site loses by


@pytest.mark.parametrize(
    ("keys", "lines"),
    [
        ({"user": '"none"'}, ['vhost.user: there is no account "none"']),
        ({"group": '"none"'}, ['vhost.group: there is no group "none"']),
        ({"root": '"none"'}, ["vhost.root: none does not exist"]),
        ({"root": '"site/app.py"', "app": '"x"'}, ["vhost.root: site/app.py is not a directory"]),
        ({"app": '"none.py"'}, ["vhost.app: site/none.py does not exist"]),
        ({"app": '"../site"'}, ["vhost.app: site is not a file"]),
        ({"app": '"hello.wsgi"'}, ["vhost.app: there is no file site/hello.wsgi, nor a module of that name"]),
        ({"venv": '"none"'}, ["vhost.venv: none does not exist"]),
        ({"python": '"site/app.py"'}, ["vhost.python: site/app.py is 0644: user 50001 cannot execute"]),
        ({"pool_socket": '{ path = "x", owner = "none" }'}, ['vhost.pool_socket: there is no account "none"']),
        ({"pool_socket": '{ path = "none/x" }'}, ["vhost.pool_socket: none does not exist"]),
    ],
)
def test_a_broken_site(pretence, one_site, keys: dict[str, str], lines: list[str]) -> None:
    vhost = one_site(**keys)
    assert [line.partition(" (")[0] for line in problems(pretence, vhost)] == lines
    assert (vhost.ids is None) == bool({"user", "group"} & set(keys))


def test_the_others_are_served(pretence) -> None:
    config = pretence.load(LISTEN + site(user='"none"') + site(name='"b.example"'))
    assert [bool(vhost.problems) for vhost in config.vhosts] == [True, False]
    assert [pretence.shorten(str(problem)) for problem in config.problems] == [
        'itk.toml:5: vhost.user: there is no account "none"'
    ]


def test_a_module_is_looked_for_at_run_time_only(one_site) -> None:
    assert one_site(app='"nowhere.to:be"').problems == ()


# --- reach


@pytest.mark.parametrize(
    ("path", "mode", "app", "line"),
    [
        ("site", 0o700, "app", "vhost.root: site is 0700: user 50001 cannot read"),
        ("site", 0o711, "app", "vhost.root: site is 0711: user 50001 cannot read"),
        ("site", 0o711, "app.py", None),
        ("site", 0o744, "app.py", "vhost.root: site is 0744: user 50001 cannot enter"),
        ("site/app.py", 0o600, "app.py", "vhost.app: site/app.py is 0600: user 50001 cannot read"),
        ("", 0o700, "app.py", "vhost.root: {top} is 0700: user 50001 cannot enter"),
    ],
)
def test_what_the_sites_user_cannot_reach(pretence, one_site, path: str, mode: int, app: str, line: str | None) -> None:
    """Importing lists root, so a module needs it readable; a file does not."""
    pretence.owned[os.path.join(pretence.directory, path).rstrip("/")] = (0, mode)
    if not path:  # above the package and itk.toml too
        pretence.package = "/"
    found = problems(pretence, one_site(app=f'"{app}"'))
    assert found == ([line.format(top=pretence.directory)] if line else [])


def test_reach_is_judged_for_the_sites_own_ids(pretence, one_site) -> None:
    pretence.owned[str(pretence.directory / "site")] = (50001, 0o700)
    assert one_site().problems == ()
    assert problems(pretence, one_site(user="50002")) == ["vhost.root: site is 0700: user 50002 cannot enter"]
    assert problems(pretence, one_site(user="50002", group="50001")) != []


def test_the_package_and_the_environment_must_be_reached_too(pretence, environments: str) -> None:
    pretence.owned[pretence.package] = (0, 0o750)
    pretence.accounts.groups["readers"] = 3000
    assert any("vhost: package is 0750: user 50001 cannot read" in line for line in pretence.refusal(LISTEN + site()))
    pretence.owned[pretence.package] = (0, 0o755)
    pretence.owned[f"{pretence.directory}/venv/other/bin/python"] = (0, 0o754)
    lines = pretence.refusal(LISTEN + site(environment='"other"') + environments)
    assert lines[-1].startswith(
        "itk.toml:12: environment.other.venv: venv/other/bin/python is 0754: user 65531 cannot execute"
    )


def test_without_looking_no_path_of_a_site_is_touched(pretence) -> None:
    asked: list[str] = []
    real = pretence.lstat

    def lstat(path: str) -> os.stat_result:
        asked.append(pretence.shorten(path))
        return real(path)

    pretence.lstat = lstat
    text = (
        LISTEN
        + site(root='"none"', venv='"none"', pool_socket='{ path = "none/x" }')
        + site(name='"b"', app='"x.wsgi:app"')
    )
    config = pretence.load(text, look=False)
    assert config.problems == () and config.vhosts[1].app == "x.wsgi:app"
    assert "package" in asked and not any(path.startswith(("none", "site")) for path in asked)


# --- an ordinary user's server


@pytest.mark.parametrize(
    ("keys", "lines"),
    [
        ({"user": '"jess"'}, []),
        ({"user": ""}, []),
        (
            {"user": '"alice"'},
            ["vhost.user: only root can start a site as alice: this server would be jess (uid 1001)"],
        ),
        (
            {"user": "", "pool_socket": '{ path = "x", owner = "alice" }'},
            ["vhost.pool_socket: only root can give a socket to others than jess and its groups"],
        ),
    ],
)
def test_an_ordinary_users_server(pretence, keys: dict[str, str], lines: list[str]) -> None:
    assert problems(pretence, pretence.load(LISTEN + site(**keys), "jess").vhosts[0]) == lines
