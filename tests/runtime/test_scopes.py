"""Which settings hold for a request: what its scope depends on, and what a pool learns of its children."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from itkwsgi.ini import override_file
from itkwsgi.runtime import scopes as module
from itkwsgi.runtime.scopes import Scopes

HERE = "itk.toml:1"


def data(root: Path, **more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "site": {},
        "holding": {},
        "directories": [],
        "locations": [],
        "override": ["memory_limit", "post_max_size", "umask", "open_basedir"],
        "public": "",
        "root": str(root),
        "filters": {},
        "domain": None,
        "untraced": None,
    }
    return {**plain, **more}


def write(directory: Path, text: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / ".itk.toml"
    file.write_text(text)
    return file


def test_without_public_every_request_is_in_the_apps_own_directory(tmp_path: Path) -> None:
    write(tmp_path, "[value]\numask = '0027'\n")
    write(tmp_path / "blog", "[value]\npost_max_size = 5\n")
    write(tmp_path / "other", "[value]\npost_max_size = 6\n")
    scopes = Scopes(data(tmp_path), f"{tmp_path}/blog/wsgi.py")
    scope = scopes.of_request("/other/x")
    assert (scope.value("umask"), scope.value("post_max_size")) == (0o027, 5)
    assert scopes.of_pool() is scope and scopes.of_request("/") is scope
    assert scope.told == {"umask", "post_max_size"}


def test_with_public_the_directories_follow_the_url(tmp_path: Path) -> None:
    public = tmp_path / "public"
    write(public / "a", "[value]\npost_max_size = 1\n")
    write(public / "a/b", "[value]\numask = '0077'\n")
    scopes = Scopes(
        data(
            tmp_path,
            public=str(public),
            directories=[[f"{public}/a", {"max_open_files": (64, False, HERE)}]],
            locations=[["/a/b", {"post_max_size": (9, True, HERE)}]],
        ),
        f"{tmp_path}/app.py",
    )

    def found(path: str) -> tuple[Any, ...]:
        scope = scopes.of_request(path)
        return tuple(scope.value(name) for name in ("post_max_size", "umask", "max_open_files"))

    default = 8 * 2**20
    assert found("/") == found("/ab/c") == found("/x/a/") == (default, 0o022, 1024)
    assert found("/a/") == found("/a") == found("/a/x") == found("//a/./x") == (1, 0o022, 64)
    assert found("/a/b/c") == found("/a/b") == found("/a//b/c") == (9, 0o077, 64)
    assert scopes.of_pool().settings == {}


def test_a_path_is_bytes_in_latin_1(tmp_path: Path) -> None:
    write(tmp_path / "bücher", "[value]\numask = '0007'\n")
    scopes = Scopes(data(tmp_path, public=str(tmp_path), locations=[["/über", {"umask": (7, True, HERE)}]]), "")
    assert scopes.of_request("/bücher/1".encode().decode("latin-1")).value("umask") == 0o007
    assert scopes.of_request("/über/1".encode().decode("latin-1")).value("umask") == 7
    assert scopes.of_request("/\x00/").settings == {}


def test_a_root_that_does_not_hold_the_app_stands_in(tmp_path: Path) -> None:
    write(tmp_path / "site", "[value]\numask = '0007'\n")
    scopes = Scopes(data(tmp_path / "site"), f"{tmp_path}/elsewhere/app.py")
    assert scopes.of_request("/").value("umask") == 0o007


def test_an_edit_is_another_scope_and_no_edit_the_same(tmp_path: Path) -> None:
    file = write(tmp_path, "[value]\numask = '0007'\n")
    scopes = Scopes(data(tmp_path), f"{tmp_path}/app.py")
    first = scopes.of_pool()
    assert scopes.of_request("/") is first and not scopes.outdated(first)
    file.write_text("[value]\numask = '0070'\n")
    second = scopes.of_request("/")
    assert second is not first and second.value("umask") == 0o070 and scopes.outdated(first)
    file.unlink()
    assert scopes.of_request("/").settings == {} and scopes.outdated(second)


def test_where_nothing_is_granted_no_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "[value]\numask = '0007'\n")
    monkeypatch.setattr(override_file, "stamp", lambda directory: pytest.fail(directory))
    assert Scopes(data(tmp_path, override=None), f"{tmp_path}/app.py").of_request("/").settings == {}


def test_a_url_of_many_segments_costs_no_more_than_there_are_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(os, "access", lambda path, mode: looked.append(path))
    scopes = Scopes(data(tmp_path, public=str(tmp_path)), "")
    scopes.of_request("/x" * 3000)
    assert len(looked) == module.DEEP + 1
    (tmp_path / "x/x/x/x/x/x").mkdir(parents=True)
    looked.clear()
    scopes.of_request("/x" * 3000)
    assert len(looked) == 7


def test_what_code_set_at_import_is_the_sites_own_default(tmp_path: Path) -> None:
    from itkwsgi.ini.merge import Said

    scopes = Scopes(
        data(
            tmp_path,
            site={"max_open_files": (64, True, HERE)},
            locations=[["/a", {"umask": (0o077, False, HERE)}]],
        ),
        "",
    )
    before = scopes.of_pool()
    scopes.code = {"umask": Said(0o007, False, "set by code"), "max_open_files": Said(900, False, "set by code")}
    scopes.forget()
    scope = scopes.find(before.key)
    assert (scope.value("umask"), scope.value("max_open_files")) == (0o007, 64)
    assert scopes.of_request("/a/b").value("umask") == 0o077


# --- what children report


def test_a_pool_learns_what_a_child_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", "[value]\numask = '0007'\nnonsense = 1\n")
    plain = data(tmp_path, public=str(tmp_path))
    child, pool = Scopes(plain, ""), Scopes(plain, "")
    met = child.of_request("/a/")
    monkeypatch.setattr(override_file, "load", lambda *args: pytest.fail("read again"))
    learned = pool.learn(child.report(met))
    assert learned is not None and learned.settings == met.settings and learned.remarks == met.remarks
    assert len(learned.remarks) == 1 and "nonsense" in learned.remarks[0]
    assert pool.of_request("/a/") is learned
    assert pool.learn(child.report(met)) is None


def test_a_report_is_merged_by_the_same_rules(tmp_path: Path) -> None:
    """A child that lies deceives its own pool, and not about what is fixed."""
    write(tmp_path, "[value]\nmemory_limit = '900M'\n")
    plain = data(tmp_path, site={"memory_limit": (2**26, True, HERE)})
    liar = Scopes(data(tmp_path), "")
    pool = Scopes(plain, "")
    learned = pool.learn(liar.report(liar.of_request("/")))
    assert learned is not None and learned.value("memory_limit") == 2**26
    assert "fixed at itk.toml:1" in learned.remarks[0]


def test_what_is_known_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KNOWN", 4)
    scopes = Scopes(data(tmp_path, locations=[[f"/{n}", {}] for n in range(20)]), "")
    for number in range(20):
        scopes.of_request(f"/{number}")
        assert len(scopes.known) <= 4


def test_a_file_that_cannot_be_looked_at_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hung(path: str) -> os.stat_result:
        raise OSError(5, "Input/output error", path)

    write(tmp_path, "")
    scopes = Scopes(data(tmp_path), f"{tmp_path}/app.py")
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", hung)
        with pytest.raises(OSError, match="Input/output"):
            scopes.of_request("/")
