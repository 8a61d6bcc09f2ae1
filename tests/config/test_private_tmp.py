"""A /tmp of a site's own: who can have it, and what it would hide.  The pretended /tmp is below the real one."""

from __future__ import annotations

import dataclasses
import os

import pytest
from pretence import LISTEN, site

from itkwsgi.config import private_tmp


@pytest.fixture(autouse=True)
def elsewhere(pretence, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own directories stand for /tmp and /var/tmp."""
    for name in ("tmp", "vartmp"):
        (pretence.directory / name).mkdir()
    monkeypatch.setattr(private_tmp, "TMP", str(pretence.directory / "tmp"))
    monkeypatch.setattr(private_tmp, "VAR_TMP", str(pretence.directory / "vartmp"))


def problems(pretence, vhost) -> list[str]:
    return [pretence.shorten(str(problem).partition(": ")[2]) for problem in vhost.problems]


def test_a_site_that_has_one(one_site) -> None:
    vhost = one_site(private_tmp="true")
    assert (vhost.private_tmp, vhost.private_var_tmp, vhost.problems) == (True, True, ())
    assert (one_site().private_tmp, one_site().private_var_tmp) == (False, False)


def test_an_ordinary_user_has_none_to_give(pretence) -> None:
    (vhost,) = pretence.load(LISTEN + site(user="", private_tmp="true"), "jess").vhosts
    assert problems(pretence, vhost) == ["vhost.private_tmp: only root can give a site a /tmp of its own"]


@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        ("mount_namespaces", "this kernel has no mount namespaces, or permits none (user.max_mnt_namespaces)"),
        ("sys_admin", "the server has no CAP_SYS_ADMIN, which mounting takes"),
    ],
)
def test_what_it_takes(pretence, one_site, lacks: str, message: str) -> None:
    pretence.abilities = dataclasses.replace(pretence.abilities, **{lacks: False})
    assert problems(pretence, one_site(private_tmp="true")) == [f"vhost.private_tmp: cannot be had: {message}"]
    assert one_site().problems == ()


def test_what_it_would_hide(pretence, one_site) -> None:
    pretence.write("tmp/site/app.py"), pretence.write("tmp/py").chmod(0o755)
    (pretence.directory / "tmp/mine").mkdir()
    pretence.owned[str(pretence.directory / "tmp/mine")] = (50001, 0o755)
    vhost = one_site(
        private_tmp="true",
        root='"tmp/site"',
        python='"tmp/py"',
        value='{ open_basedir = ["tmp/site", "tmp/mine"], tmp_dir = "tmp/mine" }',
    )
    hidden = "is hidden by private_tmp: the site's /tmp is another"
    assert problems(pretence, vhost) == [
        f"vhost.root: tmp/site {hidden}",
        f"vhost.python: tmp/py {hidden}",
        f"vhost.value.open_basedir: tmp/mine {hidden}",
    ]


def test_links_into_it_are_found(pretence, one_site) -> None:
    pretence.write("tmp/real/app.py")
    os.symlink("tmp/real", pretence.directory / "link")
    assert "vhost.root: link is hidden by private_tmp: the site's /tmp is another" in problems(
        pretence, one_site(root='"link"', private_tmp="true")
    )


def test_the_directory_itself_is_there(pretence, one_site) -> None:
    pretence.owned[str(pretence.directory / "tmp")] = (0, 0o1777)
    assert one_site(private_tmp="true", value='{ open_basedir = ["tmp", "site"], tmp_dir = "tmp" }').problems == ()


def test_the_server_itself_would_be_hidden(pretence, one_site) -> None:
    (pretence.directory / "tmp/package").mkdir()
    pretence.package = str(pretence.directory / "tmp/package")
    assert problems(pretence, one_site(private_tmp="true")) == [
        "vhost.private_tmp: tmp/package is hidden by private_tmp: the site's /tmp is another"
    ]


def test_what_lies_in_the_other_one_keeps_it_shared(pretence) -> None:
    pretence.write("vartmp/site/app.py")
    config = pretence.load(LISTEN + site(root='"vartmp/site"', private_tmp="true"))
    (vhost,) = config.vhosts
    assert (vhost.problems, vhost.private_tmp, vhost.private_var_tmp) == ((), True, False)
    assert [pretence.shorten(str(note)) for note in config.notes] == [
        "itk.toml:6: vhost.root: vartmp/site is in /var/tmp, which therefore stays shared"
    ]


def test_what_an_area_names_is_hidden_too(pretence, one_site) -> None:
    (pretence.directory / "tmp/mine").mkdir()
    area = '[{ path = "/a", value = { open_basedir = ["site", "tmp/mine"] } }]'
    assert problems(pretence, one_site(private_tmp="true", location=area)) == [
        "vhost.location.value.open_basedir: tmp/mine is hidden by private_tmp: the site's /tmp is another"
    ]
