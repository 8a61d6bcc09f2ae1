"""What ``check`` says of the machine, for machines of every kind."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from pretence import ABLE, LISTEN, Pretence, site

from itkwsgi.cli.abilities import machine_line, protections_line

NOTHING = dataclasses.replace(
    ABLE,
    landlock=0,
    seccomp=False,
    user_namespaces=False,
    mount_namespaces=False,
    sys_admin=False,
    oom_floor=False,
    cgroup=False,
)


@pytest.mark.parametrize(
    ("abilities", "line"),
    [
        (
            ABLE,
            "Landlock 7 (files, TCP ports, signals and abstract sockets), seccomp, user and mount namespaces,"
            " a control group to divide",
        ),
        (
            NOTHING,
            "no Landlock, no seccomp, no user or mount namespaces,"
            " no control group to divide (as this command was started)",
        ),
        (
            dataclasses.replace(ABLE, landlock=3, user_namespaces=False),
            "Landlock 3 (files), seccomp, mount namespaces, a control group to divide",
        ),
        (
            dataclasses.replace(ABLE, landlock=4, sys_admin=False),
            "Landlock 4 (files, TCP ports), seccomp, user and mount namespaces (but no CAP_SYS_ADMIN to make them),"
            " a control group to divide",
        ),
    ],
)
def test_what_a_machine_has(abilities, line: str) -> None:
    assert machine_line(abilities) == f"machine: {line}"


HELD = "zygotes are held to uid_range and gid_range by seccomp"


def test_what_is_in_force(tmp_path: Path) -> None:
    pretence = Pretence(tmp_path)

    def said(text: str, user: str = "root") -> str:
        return protections_line(pretence.load(text, user), pretence.machine(user))

    one, other = site(), site(name="'b.example'", user="50002")
    assert said(LISTEN + one + other) == (
        f"in force: each site is a user of its own; {HELD}; id_namespace is off; sites cannot lower their OOM score"
    )
    assert said(LISTEN + "id_namespace = true\n" + one + site(name="'b.example'")) == (
        f"in force: no site is root, but some share a user; {HELD}; id_namespace is on;"
        " sites cannot lower their OOM score"
    )
    pretence.abilities = NOTHING
    assert said(LISTEN + site(user=""), "jess") == (
        "in force: nothing between the sites: all are jess; sites can lower their OOM score (no CAP_SYS_RESOURCE)"
    )
