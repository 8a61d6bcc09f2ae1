"""Tables of all files: which may stand where, and what is said of those that may not."""

from __future__ import annotations

import pytest
from pretence import LISTEN, site

GOOD = LISTEN + site()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("includ = []\n", "itk.toml:1: includ: unknown key (did you mean include?)"),
        ("user = 'x'\n", "itk.toml:1: user: unknown key (it belongs in [server] or [[vhost]])"),
        ("include = 'x'\n", 'itk.toml:1: include: "x" is not a list (write ["x"])'),
        ("include = ['x.toml', 5]\n", 'itk.toml:1: include: 5 is not text (write "5")'),
        ("include = ['x.toml']\n", "itk.toml:1: include: there is no file x.toml"),
    ],
)
def test_the_top_of_the_file(pretence, text: str, line: str) -> None:
    assert line in pretence.refusal(text + GOOD)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("server = 1\n", ["itk.toml:1: server: 1 stands where a table must (write [server])"]),
        ("vhost = 1\n", ["itk.toml:1: vhost: 1 stands where a list of tables must (write [[vhost]])"]),
        ("[vhost]\nname='a'\n", ["itk.toml:1: vhost: a table stands where a list of tables must (write [[vhost]])"]),
        ("vhost = [\n1]\n", ["itk.toml:2: vhost: 1 stands where a table must (write [[vhost]])"]),
        ("environment = []\n", ["itk.toml:1: environment: a list stands where tables must (write [environment.NAME])"]),
        (
            "[environment]\nx = 1\n",
            ["itk.toml:2: environment.x: 1 stands where a table must (write [environment.NAME])"],
        ),
        (
            "[[environment.x]]\nvenv = '/'\n",
            ["itk.toml:1: environment.x: a list stands where a table must (write [environment.NAME])"],
        ),
        (
            "[environment.'a b']\nvenv='/nowhere'\n",
            ['itk.toml:1: environment."a b": "a b" is no name for an environment (letters, digits, - and _)'],
        ),
    ],
)
def test_tables_of_the_wrong_shape(pretence, text: str, lines: list[str]) -> None:
    found = pretence.refusal(text)
    assert [line for line in found if "server.listen" not in line] == lines


def test_unknown_keys_everywhere(pretence) -> None:
    text = (
        "[server]\nlisten = ['127.0.0.1:80']\nkeepalive = 5\ntls_listen = []\nvenv = 'x'\n"
        "[environment.e]\npython = 'x'\npreloads = []\n"
        + site(pool_socket="{ path = '/run/x', user = 'a' }", max_clients="5", usr="1", run_dir="'x'")
    )
    assert [line for line in pretence.refusal(text) if "unknown key" in line] == [
        "itk.toml:3: server.keepalive: unknown key (did you mean keepalive_timeout?)",
        "itk.toml:4: server.tls_listen: unknown key: this version of itkwsgi does not have it yet",
        "itk.toml:5: server.venv: unknown key (it belongs in [environment.NAME] or [[vhost]])",
        "itk.toml:7: environment.e.python: unknown key (it belongs in [[vhost]])",
        "itk.toml:8: environment.e.preloads: unknown key (did you mean preload?)",
        "itk.toml:14: vhost.pool_socket.user: unknown key",
        "itk.toml:15: vhost.max_clients: unknown key: this version of itkwsgi does not have it yet",
        "itk.toml:16: vhost.usr: unknown key (did you mean user?)",
        "itk.toml:17: vhost.run_dir: unknown key (it belongs in [server])",
    ]


@pytest.mark.parametrize(
    "key",
    [
        "queue = 1",
        "tls = {}",
        "[vhost.alias]\n'/a' = 'b'",
        "fork_check = 'warn'",
        "[vhost.error_document]\n503 = 'x'",
    ],
)
def test_keys_of_a_later_version_are_named_as_such(pretence, key: str) -> None:
    (line,) = pretence.refusal(GOOD + key)
    assert line.endswith("unknown key: this version of itkwsgi does not have it yet")


@pytest.mark.parametrize("table", ["value", "admin_value"])
def test_settings_that_there_are_not(pretence, table: str) -> None:
    said = "max_proceses = 5\nnice = 5\nfoo = 1\n"
    assert pretence.refusal(f"{GOOD}open_basedir = '/srv'\n[vhost.{table}]\n{said}") == [
        "itk.toml:8: vhost.open_basedir: unknown key (it belongs in [vhost.value] or [vhost.admin_value])",
        f"itk.toml:10: vhost.{table}.max_proceses: unknown setting (did you mean max_processes?)",
        f"itk.toml:11: vhost.{table}.nice: unknown setting (it belongs in [[vhost]])",
        f"itk.toml:12: vhost.{table}.foo: unknown setting",
    ]


def test_settings_that_are_wrong(pretence) -> None:
    said = "open_basedir = ['x', 1]\numask = 'x'\nmax_processes = 1\ndisable = ['exec', 'forks']\n"
    assert pretence.refusal(f"{GOOD}[vhost.admin_value]\n{said}") == [
        'itk.toml:9: vhost.admin_value.open_basedir: 1 is not text (write "1")',
        'itk.toml:10: vhost.admin_value.umask: "x" is not a umask (write "0027" or 0o027)',
        "itk.toml:11: vhost.admin_value.max_processes: 1 is too small: at least 2 processes",
        'itk.toml:12: vhost.admin_value.disable: "forks" is none of exec, network, fork, ptrace',
    ]
    assert pretence.refusal(f"{GOOD}value = 5\n") == ["itk.toml:8: vhost.value: 5 is not a table"]


def test_an_included_file_has_sites_and_environments_alone(pretence) -> None:
    pretence.write(
        "sites.d/a.toml", "include = ['x']\n[server]\nuser = 'x'\n" + site(name="'b.example'", root="'../site'")
    )
    pretence.write("sites.d/b.toml", "x = 1\n")
    assert pretence.refusal("include = ['sites.d/*.toml']\n" + GOOD) == [
        "sites.d/a.toml:1: include: stands in an included file (only the main file may have it)",
        "sites.d/a.toml:2: server: stands in an included file (only the main file may have it)",
        "sites.d/b.toml:1: x: unknown key",
    ]


def test_sites_of_all_files_in_order(pretence) -> None:
    pretence.write("sites.d/b.toml", site(name="'b.example'", user="50002", root="'../site'"))
    pretence.write("sites.d/a.toml", "\n" + site(name="'c.example'", user="50003", root="'../site'"))
    config = pretence.load("include = ['sites.d/*.toml']\n" + GOOD)
    assert [(vhost.index, vhost.name, pretence.shorten(vhost.where)) for vhost in config.vhosts] == [
        (0, "a.example", "itk.toml:4"),
        (1, "c.example", "sites.d/a.toml:2"),
        (2, "b.example", "sites.d/b.toml:1"),
    ]
    assert config.vhosts[2].root == str(pretence.directory / "site"), "relative to the file it stands in"
    assert config.problems == ()


def test_an_environment_has_one_place(pretence) -> None:
    pretence.write("x.toml", "\n[environment.e]\nvenv = 'opt'\n")
    lines = pretence.refusal("include = ['x.toml']\n" + GOOD + "[environment.e]\nvenv = 'opt'\n")
    assert "x.toml:2: environment.e: there is one of that name already, at itk.toml:9" in lines


def test_all_errors_of_all_files_come_at_once(pretence) -> None:
    pretence.write("sites.d/a.toml", "[[vhost]]\nname = 1\n[")
    pretence.write("sites.d/b.toml", site(name="'b b'", root="'none'", nice="'x'"))
    lines = pretence.refusal("include = ['sites.d/*', 'none.toml']\n[server]\nlisten = ['x']\nfronts = -1\n")
    assert [line.split(": ")[0] for line in lines] == [
        "itk.toml:1",
        "itk.toml:3",
        "itk.toml:4",
        "sites.d/a.toml:3",
        "sites.d/b.toml:2",
        "sites.d/b.toml:4",
        "sites.d/b.toml:6",
    ]
