"""The site's own file: what of it applies, and what is said of the rest."""

from __future__ import annotations

import marshal
import os
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from itkwsgi.ini import override_file
from itkwsgi.ini.merge import Said
from itkwsgi.ini.override_file import GRANTABLE, LARGEST, MOST_DOTS, MOST_REMARKS, Override, load, parse, stamp
from itkwsgi.ini.registry import BY_NAME, SETTINGS
from itkwsgi.ini.setting import SYSTEM
from itkwsgi.ini.toml_reader import READERS

PATH = "/srv/a/.itk.toml"
ALL = frozenset(setting.name for setting in SETTINGS if setting.mode != SYSTEM)


def said(file: Override) -> dict[str, object]:
    return {name: each.value for name, each in file.said.items()}


def remarks(file: Override) -> list[str]:
    return [str(remark) for remark in file.remarks]


# --- what it says


def test_settings_with_their_lines() -> None:
    text = '[value]\nmemory_limit = "64M"\n\ninclude_path = ["lib", "/x"] # two\nerror_log = "none"\n'
    file = parse(text, PATH, ALL)
    assert file.said == {
        "memory_limit": Said(64 * 2**20, False, f"{PATH}:2"),
        "include_path": Said(("/srv/a/lib", "/x"), False, f"{PATH}:4"),
        "error_log": Said(None, False, f"{PATH}:5"),
    }
    assert (file.path, file.remarks) == (PATH, [])


@pytest.mark.parametrize("text", ["", "# nothing\n", "[value]\n", "\n\n"])
def test_a_file_that_says_nothing(text: str) -> None:
    file = parse(text, PATH, ALL)
    assert (file.said, file.remarks) == ({}, [])


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("[admin_value]\numask = '0'\n", ":1: admin_value: has no effect here: only the administrator fixes values"),
        ("admin_value = 1\n", ":1: admin_value: has no effect here: only the administrator fixes values"),
        (
            "umask = '027'\n",
            ':1: "umask": has no effect: nothing of that name is known here (settings belong below [value])',
        ),
        ("x = 1\n", ':1: "x": has no effect: nothing of that name is known here'),
        ('["a\\n"]\n', ':1: "a\\n": has no effect: nothing of that name is known here'),
        ("value = 5\n", ":1: value: 5 stands where a table must (write [value])"),
        ("[[value]]\n", ":1: value: a list stands where a table must (write [value])"),
        ("[value]\n\nmemory-limit = 1\n", ':3: "memory-limit": unknown setting (did you mean memory_limit?)'),
        ("[value]\nzzz = 1\n", ':2: "zzz": unknown setting'),
        ("[value.x]\ny = 1\n", ':1: "x": unknown setting'),
        ("[value]\ndisable = 'exec'\n", ":2: disable: has no effect here: only the administrator may set it"),
        ("[value]\ntimezone = 'UTC'\n", ":2: timezone: has no effect here: allow_override does not grant it"),
        ("[value]\numask = 9\nlog_errors = 1\n", ":3: log_errors: 1 is neither true nor false"),
        (
            "[value]\nmax_file_size = '1T'",
            ':2: max_file_size: "1T" is not a size (write "256M", "64K" or a number of bytes)',
        ),
        ("[value]\ninclude_path = [\n'x',\n'~/y',\n]", ':4: include_path: "~/y": ~ is not expanded here (write the '),
    ],
)
def test_a_fault_is_a_remark(text: str, remark: str) -> None:
    file = parse(text, PATH, ALL - {"timezone"})
    assert len(file.remarks) == 1
    assert str(file.remarks[0]).startswith(PATH + remark)
    assert set(file.said) == ({"umask"} if "umask = 9" in text else set())  # the rest applies


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS if setting.mode == SYSTEM])
def test_what_is_the_administrators_is_granted_by_nothing(name: str) -> None:
    file = parse(f"[value]\n{name} = 'none'\n", PATH, frozenset(BY_NAME))
    assert not file.said and len(file.remarks) == 1


def test_all_faults_at_once_and_the_rest_applies() -> None:
    file = parse("x = 1\n[value]\nzzz = 1\numask = '0027'\nengine = 3\n[admin_value]\n", PATH, ALL)
    assert said(file) == {"umask": 0o027}
    assert [remark.where for remark in file.remarks] == [f"{PATH}:{line}" for line in (1, 3, 5, 6)]


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("[value]\numask = \n", ":2: is not read: not valid TOML: Invalid value, in column 9"),
        ("[value]\numask = 1\numask = 2\n", ":3: is not read: not valid TOML: Cannot overwrite a value, in column 10"),
        ("[value]\n[value]\n", ":2: is not read: not valid TOML: Cannot declare ('value',) twice, in column 7"),
        ("[value]\na = [1", ":2: is not read: not valid TOML: Unclosed array, at the end of the file"),
        (f"a = {'9' * 5000}\n", ": is not read: not valid TOML: Exceeds the limit"),
        (f"a = {'[' * 30000}", ": is not read: it is nested too deeply"),
    ],
)
def test_of_a_broken_file_nothing_applies(text: str, remark: str) -> None:
    file = parse(text, PATH, ALL)
    assert not file.said and len(file.remarks) == 1
    assert str(file.remarks[0]).startswith(PATH + remark)


def test_too_deep_for_the_lines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the reader takes the scanner must not fail on."""

    def deep(text: str) -> object:
        raise RecursionError

    monkeypatch.setattr("itkwsgi.ini.locate.locate", deep)
    assert remarks(parse("a = 1", PATH, ALL)) == [f"{PATH}: is not read: it is nested too deeply"]


def test_a_long_key_costs_nothing() -> None:
    """Thousands of dots in 64 KiB would be gigabytes, in the reader and in the scanner."""
    text = "[value]\numask = '0077'\na" + ".a" * (LARGEST // 2 - 16) + " = 1\n"
    tracemalloc.start()
    try:
        file = parse(text, PATH, ALL)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert remarks(file) == [f"{PATH}:3: is not read: more than {MOST_DOTS} dots in one line"]


@pytest.mark.parametrize(("dots", "whole"), [(MOST_DOTS, True), (MOST_DOTS + 1, False)])
def test_many_dots_in_a_line_are_fine(dots: int, whole: bool) -> None:
    file = parse(f"[value]\ntimezone = 'UTC' # {'.' * dots}\n", PATH, ALL)
    assert (said(file) == {"timezone": "UTC"}) is whole


def test_the_costliest_keys_that_are_read_fit_a_small_memory_limit() -> None:
    """Many long keys, each below the bound, and a long header that all of them are under."""
    line = "{}" + ".a" * (MOST_DOTS - 3) + " = 1\n"
    long_keys = "".join(line.format(f"k{number}") for number in range(LARGEST // (len(line) + 3)))
    long_header = "[a" + ".a" * (MOST_DOTS - 1) + "]\n" + "".join(f"k{number}=1\n" for number in range(8000))
    for text in (long_keys, long_header):
        assert 0.9 * LARGEST < len(text) <= LARGEST
        tracemalloc.start()
        try:
            assert len(parse(text, PATH, ALL).remarks) > 0
            assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
        finally:
            tracemalloc.stop()


def test_no_memory_is_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(text: str) -> object:
        raise MemoryError

    monkeypatch.setattr("itkwsgi.ini.toml_reader.loads", greedy)
    assert remarks(parse("a = 1", PATH, ALL)) == [f"{PATH}: is not read: there is not enough memory for it"]


def test_an_old_interpreter_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in READERS:
        monkeypatch.setitem(sys.modules, name, None)
    assert remarks(parse("[value]", PATH, ALL)) == [
        f"{PATH}: is not read: Python before 3.11 needs the package tomli for that"
    ]


def test_a_log_is_not_filled() -> None:
    text = "[value]\n" + "".join(f"x{number} = 1\n" for number in range(5000)) + "umask = '0077'\n"
    file = parse(text, PATH, ALL)
    assert len(file.remarks) == MOST_REMARKS + 1
    assert str(file.remarks[-1]) == f"{PATH}: more in it has no effect"
    assert said(file) == {"umask": 0o077}


def test_a_name_of_a_directory_forges_no_line() -> None:
    file = parse("[value]\nzzz = 1\ninclude_path = 'x'", "/srv/a\n[error] b\udcff/.itk.toml", ALL)
    assert remarks(file) == ['/srv/a\\n[error] b\\udcff/.itk.toml:2: "zzz": unknown setting']
    assert file.said["include_path"] == Said(
        ("/srv/a\n[error] b\udcff/x",), False, "/srv/a\\n[error] b\\udcff/.itk.toml:3"
    )


names = st.sampled_from([*BY_NAME, "zzz", '"a\\nb"'])
raws = st.sampled_from(
    ["1", "'none'", '"64M"', "[]", "['/a', 'b']", "true", "{x = 1}", "1979-05-27", "nan", '"\\u0000"']
)
lines = st.builds("{} = {}".format, names, raws) | st.sampled_from(
    ["[value]", "[admin_value]", "[value.x]", "# c", "=", "["]
)


@given(st.text() | st.lists(lines, max_size=6).map(lambda found: "\n".join(["[value]", *found])))
@example("\udcff")
@example("[value]\numask = nan")
@example(f"[value]\nmax_execution_time = -{10**400}\nmemory_limit = -{10**400}\npost_max_size = 0x{10**400:x}")
def test_no_text_is_an_error(text: str) -> None:
    """And what is said of it are lines of printable text; what holds was granted and is never fixed."""
    file = parse(text, PATH, ALL - {"timezone"})
    assert all(line.isprintable() and line.startswith(PATH) for line in remarks(file))
    assert set(file.said) <= ALL - {"timezone"}
    assert not any(each.fixed for each in file.said.values())
    assert Override.of(marshal.loads(marshal.dumps(file.plain()))).plain() == file.plain()


def test_through_marshal() -> None:
    file = parse("[value]\numask = '0027'\ninclude_path = 'x'\nzzz = 1\n", PATH, ALL)
    back = Override.of(marshal.loads(marshal.dumps(file.plain())))
    assert (back.path, back.said, remarks(back)) == (file.path, file.said, remarks(file))


def test_what_comes_back_is_never_fixed_and_always_a_setting() -> None:
    back = Override.of((PATH, [("umask", 7, "x:1"), ("zzz", 1, "x:2")], []))
    assert back.said == {"umask": Said(7, False, "x:1")}


@pytest.mark.parametrize("name", sorted(set(BY_NAME) - GRANTABLE))
def test_what_comes_back_is_nothing_that_no_file_can_say(name: str) -> None:
    """A process of the site that was taken over lifts no wall of a later one."""
    assert name not in Override.of((PATH, [(name, BY_NAME[name].none, "x:1")], []), frozenset(BY_NAME)).said


def test_what_comes_back_is_granted() -> None:
    plain: tuple[object, ...] = (PATH, [("umask", 7, "x:1"), ("timezone", "UTC", "x:2")], [])
    assert list(Override.of(plain, frozenset(("timezone",))).said) == ["timezone"]
    assert list(Override.of(plain).said) == ["umask", "timezone"]


# --- found and read


def write(directory: Path, data: bytes | str = "[value]\numask = '0027'\n") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / ".itk.toml"
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return file


def read(directory: Path, *tops: Path) -> Override:
    """And no descriptor stays open."""
    before = os.listdir("/proc/self/fd")
    file = load(str(directory), [str(top) for top in tops or (directory,)], ALL)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    return file


def test_a_file_is_read(tmp_path: Path) -> None:
    file = write(tmp_path)
    assert read(tmp_path).said == {"umask": Said(0o027, False, f"{file}:2")}
    write(tmp_path / "a/b", "[value]\ninclude_path = '../x'\n")
    assert said(read(tmp_path / "a/b", tmp_path / "elsewhere", tmp_path)) == {"include_path": (f"{tmp_path}/a/x",)}


def test_none_is_none(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing", write(tmp_path / "a")):
        file = read(directory, tmp_path)
        assert (file.said, file.remarks) == ({}, [])


def test_a_byte_order_mark_is_none_of_the_text(tmp_path: Path) -> None:
    write(tmp_path, b"\xef\xbb\xbf[value]\r\numask = '0027'\r\n")
    assert said(read(tmp_path)) == {"umask": 0o027}


def fifo(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def link(path: Path) -> None:
    write(path.parent / "real")
    path.symlink_to(path.parent / "real/.itk.toml")


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def large(path: Path) -> None:
    path.write_bytes(b"[value]\numask = '0027'\n" + b"#" * LARGEST)


def latin(path: Path) -> None:
    path.write_bytes(b"[value]\numask = '0027'\n# \xe9\n")


@pytest.mark.parametrize(
    ("make", "remark"),
    [
        (fifo, ": is not read: it is not a regular file"),
        (directory, ": is not read: it is not a regular file"),
        (link, ": is not read: it is a link, and links are not followed"),
        (link_to_nothing, ": is not read: it is a link, and links are not followed"),
        (loop, ": is not read: it is a link, and links are not followed"),
        (large, ": is not read: it is larger than 64 KiB"),
        (latin, ":3: is not read: it is not UTF-8"),
    ],
)
def test_what_is_not_read(tmp_path: Path, make: object, remark: str) -> None:
    assert callable(make)
    make(tmp_path / ".itk.toml")
    assert stamp(str(tmp_path)) is not None  # so it is looked at, and said
    file = read(tmp_path)
    assert not file.said and remarks(file) == [f"{tmp_path}/.itk.toml{remark}"]


def test_the_largest_is_read(tmp_path: Path) -> None:
    text = b"[value]\numask = '0027'\n#"
    write(tmp_path, text + b"x" * (LARGEST - len(text)))
    assert said(read(tmp_path)) == {"umask": 0o027}


def test_a_fault_while_it_is_read_is_a_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int, size: int) -> bytes:
        raise OSError(5, "Input/output error")

    write(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", broken)
        file = load(str(tmp_path), [str(tmp_path)], ALL)
    assert remarks(file) == [f"{tmp_path}/.itk.toml: cannot be read: Input/output error"]


def test_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.read
    write(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", lambda fd, size: whole(fd, min(size, 3)))
        file = load(str(tmp_path), [str(tmp_path)], ALL)
    assert said(file) == {"umask": 0o027}


def test_a_nul_is_in_no_name() -> None:
    file = load("/srv/a\0b", ["/srv"], ALL)
    assert (file.said, file.remarks) == ({}, [])


def test_without_proc_nothing_is_read_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", path)

    write(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "readlink", gone)
        file = load(str(tmp_path), [str(tmp_path)], ALL)
    assert not file.said
    assert remarks(file) == [f"{tmp_path}/.itk.toml: is not read: without /proc nobody knows where it lies"]


# --- within the site


def test_no_link_leads_out_of_the_site(tmp_path: Path) -> None:
    site, other = tmp_path / "site", tmp_path / "other"
    write(other)
    write(site, "[value]\n")
    (site / "out").symlink_to(other)
    file = read(site / "out", site)
    assert not file.said
    assert remarks(file) == [f"{site}/out/.itk.toml: is not read: a link leads to it, out of the site"]
    assert said(read(site / "out", site, other)) == {"umask": 0o027}  # where the other is the site's too


def test_a_link_within_the_site_is_fine(tmp_path: Path) -> None:
    write(tmp_path / "real")
    (tmp_path / "name").symlink_to("real")
    assert said(read(tmp_path / "name", tmp_path)) == {"umask": 0o027}


def test_the_site_itself_may_be_behind_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real/a")
    (tmp_path / "current").symlink_to("real")
    assert said(read(tmp_path / "current/a", tmp_path / "current")) == {"umask": 0o027}


def test_a_directory_whose_name_only_begins_like_the_sites_is_none_of_it(tmp_path: Path) -> None:
    write(tmp_path / "site-other")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/out").symlink_to("../site-other")
    assert not read(tmp_path / "site/out", tmp_path / "site").said


def test_a_name_that_changes_meanwhile_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at is the file that was opened, not its name."""
    site, other, open_file = tmp_path / "site", tmp_path / "other", override_file.opened
    write(other)
    write(site / "a")

    def switched(path: str) -> int:
        (site / "a").rename(site / "b")
        (site / "a").symlink_to(other)
        fd = open_file(path)
        (site / "a").unlink()
        (site / "b").rename(site / "a")
        return fd

    monkeypatch.setattr(override_file, "opened", switched)
    assert not read(site / "a", site).said


# --- stamps


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    assert stamp(str(tmp_path)) is None
    file = write(tmp_path)
    first = stamp(str(tmp_path))
    assert first is not None and stamp(str(tmp_path)) == first and hash(first)
    found = file.stat()
    assert first == (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
    write(tmp_path, "[value]\numask = '0077'\n")  # of the same size
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    second = stamp(str(tmp_path))
    (tmp_path / "new").write_bytes(file.read_bytes())
    os.utime(tmp_path / "new", ns=(found.st_atime_ns, found.st_mtime_ns))
    (tmp_path / "new").rename(file)
    assert len({first, second, stamp(str(tmp_path))}) == 3


def test_where_there_is_none_to_be_had(tmp_path: Path) -> None:
    file = write(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    for directory in (tmp_path / "missing", file, tmp_path / "loop", tmp_path / ("x" * 300), tmp_path / "\0"):
        assert stamp(str(directory)) is None
    assert stamp("/" + "x/" * 3000) is None


def test_what_is_closed_to_the_user_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its error alone: root, as whom the tests may run, can look into every directory."""

    def closed(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    write(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", closed)
        assert stamp(str(tmp_path)) is None
    assert stamp(str(tmp_path)) is not None


def test_a_file_system_that_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def hung(path: str) -> os.stat_result:
        raise OSError(5, "Input/output error", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", hung)
        with pytest.raises(OSError, match="Input/output"):
            stamp("/srv")
