"""Reading itk.toml and its includes."""

from __future__ import annotations

import os
import pathlib

import pytest

from itkwsgi.config.files import LARGEST_FILE, Document, Place, Unreadable, included, read_document
from itkwsgi.config.model import Problem
from itkwsgi.ini.locate import Path
from itkwsgi.ini.values import Fault


def refusal(pretence, name: str, user: str = "jess") -> str:
    with pytest.raises(Unreadable) as caught:
        read_document(str(pretence.directory / name), pretence.machine(user))
    return pretence.shorten(str(caught.value.problem))


def test_a_document_knows_its_lines(pretence) -> None:
    path = pretence.write("conf/itk.toml", "[a]\n\nb = [\n1,\n2]\n")
    document = read_document(str(path), pretence.machine())
    assert document.tables == {"a": {"b": [1, 2]}}
    assert document.directory == str(path.parent)
    paths: list[Path] = [("a", "b", 1), ("a", "b", 9), ("a", "c", "d"), ("x",), ()]
    assert [document.line(path) for path in paths] == [5, 3, 1, 0, 0]


def test_a_place_tells_file_line_and_key(pretence) -> None:
    path = pretence.write("itk.toml", "\n[t]\nx = { y = 1 }\n")
    place = Place(read_document(str(path), pretence.machine()), ("t",), ("t",))
    assert place.problem(Fault("wrong", "hint", ("x", "y"))) == Problem(str(path), 3, "t.x.y", "wrong", "hint")
    assert place.problem(Fault("wrong", steps=("none",))) == Problem(str(path), 2, "t.none", "wrong")
    assert place.where == f"{path}:2"


def test_a_byte_order_mark_is_stripped(pretence) -> None:
    path = pretence.write("itk.toml")
    path.write_bytes(b"\xef\xbb\xbfa = 1\n")
    assert read_document(str(path), pretence.machine()).tables == {"a": 1}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a = 1\n\nb = = 2\n", "x.toml:3: not valid TOML: "),
        (b"a = 1\nb = [\n1,\n\n", "x.toml:3: not valid TOML: "),
        (b"a = 1\na = 2\n", "x.toml:2: not valid TOML: "),
        (b"a = 'x'\n# \xff\n", "x.toml:2: is not UTF-8"),
        (b"a = " + b"[" * 9000, "x.toml: is nested too deeply"),
        (b"a = " + b"9" * 5000, "x.toml: not valid TOML: Exceeds the limit"),
        (b"\xff\xfea\0=\0", "x.toml:1: is not UTF-8"),
        (b"a = '\0'\n", "x.toml:1: not valid TOML: "),
    ],
)
def test_what_is_no_toml(pretence, data: bytes, message: str) -> None:
    pretence.write("x.toml").write_bytes(data)
    said = refusal(pretence, "x.toml")
    assert said.startswith(message) and said.isprintable() and "(at " not in said


def test_what_is_no_file(pretence) -> None:
    os.mkfifo(pretence.directory / "fifo")
    assert refusal(pretence, "none.toml") == "none.toml: cannot be read: No such file or directory"
    assert refusal(pretence, "site") == "site: cannot be read: Is a directory"
    assert refusal(pretence, "fifo") == "fifo: is not a regular file"
    assert refusal(pretence, "site/app.py/x") == "site/app.py/x: cannot be read: Not a directory"


def test_large_files_are_refused(pretence) -> None:
    with open(pretence.write("x.toml"), "wb") as file:
        file.truncate(LARGEST_FILE + 1)
    assert refusal(pretence, "x.toml") == "x.toml: is larger than 4 MiB"


# --- whose files they are


@pytest.mark.parametrize(
    ("name", "uid", "mode", "message"),
    [
        ("conf/itk.toml", 1001, 0o644, "conf/itk.toml belongs to uid 1001"),
        ("conf/itk.toml", 0, 0o664, "conf/itk.toml is 0664: its group may write it"),
        ("conf", 0, 0o757, "conf is 0757: everybody may write it"),
        ("conf", 1001, 0o755, "conf belongs to uid 1001"),
        ("conf", 0, 0o1777, "conf is 1777: everybody may write it"),
        ("", 0, 0o777, "is 0777: everybody may write it"),
    ],
)
def test_root_reads_only_what_is_roots_alone(pretence, name: str, uid: int, mode: int, message: str) -> None:
    path = pretence.write("conf/itk.toml", "a = 1")
    pretence.owned[str(pretence.directory / name).rstrip("/")] = (uid, mode)
    assert message in refusal(pretence, "conf/itk.toml", "root")
    assert refusal(pretence, "conf/itk.toml", "root").endswith("(only root may be able to change the configuration)")
    assert read_document(str(path), pretence.machine("jess")).tables == {"a": 1}, (
        "an ordinary user may read what he likes"
    )


def test_sticky_directories_above_are_fine(pretence) -> None:
    path = pretence.write("conf/itk.toml", "a = 1")
    pretence.owned[str(pretence.directory)] = (0, 0o1777)
    assert read_document(str(path), pretence.machine()).tables == {"a": 1}


def test_both_ends_of_a_link_must_be_safe(pretence) -> None:
    pretence.write("elsewhere/real.toml", "a = 1")
    pretence.write("conf/x")
    link = pretence.directory / "conf" / "itk.toml"
    link.symlink_to("../elsewhere/real.toml")
    assert read_document(str(link), pretence.machine()).tables == {"a": 1}
    pretence.owned[str(pretence.directory / "elsewhere")] = (0, 0o1777)
    assert "elsewhere is 1777" in refusal(pretence, "conf/itk.toml", "root")


# --- includes


def names(pretence, patterns: list[str]) -> list[str]:
    """The files that are included, and the problems."""
    main = read_document(str(pretence.directory / "itk.toml"), pretence.machine())
    found = included(main, patterns, pretence.machine())
    return [pretence.shorten(found.name if isinstance(found, Document) else str(found)) for found in found]


@pytest.fixture
def tree(pretence):
    pretence.write("itk.toml", 'include = [\n"x",\n"y",\n]\n')
    for name in ("sites.d/b.toml", "sites.d/a.toml", "sites.d/.hidden.toml", "sites.d/c.txt", "one.toml"):
        pretence.write(name)
    return pretence


def test_patterns_come_sorted_and_in_the_order_they_stand(tree) -> None:
    assert names(tree, ["one.toml", "sites.d/*.toml"]) == ["one.toml", "sites.d/a.toml", "sites.d/b.toml"]
    assert names(tree, ["sites.d/[ab].t?ml", "one.toml"]) == ["sites.d/a.toml", "sites.d/b.toml", "one.toml"]


def test_no_file_comes_twice_nor_the_main_one(tree) -> None:
    assert names(tree, ["*.toml", "one.toml", "./one.toml", "itk.toml"]) == ["one.toml"]


def test_a_pattern_may_match_nothing_a_name_must_exist(tree) -> None:
    assert names(tree, ["none.d/*.toml"]) == []
    assert names(tree, ["none/*", "none.toml"]) == ["itk.toml:3: include: there is no file none.toml"]


def test_absolute_patterns(tree) -> None:
    assert names(tree, [str(tree.directory / "sites.d" / "a*")]) == ["sites.d/a.toml"]


def test_what_cannot_be_read_is_a_problem_and_the_others_come(tree) -> None:
    tree.write("sites.d/a.toml", "x")
    (tree.directory / "sites.d" / "d.toml").symlink_to("nowhere")
    tree.owned[str(tree.directory / "one.toml")] = (5, 0o644)
    found = names(tree, ["sites.d/*.toml", "one.toml"])
    assert [line.split(":")[0] for line in found] == ["sites.d/a.toml", "sites.d/b.toml", "sites.d/d.toml", "one.toml"]
    assert "not valid TOML" in found[0] and "No such file" in found[2] and "belongs to uid 5" in found[3]


def test_a_directory_with_a_wildcard_in_its_name(pretence) -> None:
    main = pretence.write("a[b]*/itk.toml", "")
    pretence.write("a[b]*/x.toml")
    document = read_document(str(main), pretence.machine())
    assert len(list(included(document, ["*.toml"], pretence.machine()))) == 1


def test_names_are_as_the_operator_named_them(tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.directory)
    main = read_document("itk.toml", tree.machine())
    (document,) = included(main, ["one*"], tree.machine())
    assert isinstance(document, Document)
    assert (document.name, document.directory) == ("one.toml", str(pathlib.Path(tree.directory)))
