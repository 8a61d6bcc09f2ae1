"""Which settings hold for a request: the administrator's tables, and the site's own .itk.toml files.

What holds depends on three things only: which directories of the configuration cover the file, which own files lie in
the directories above it and what their stamps are, which locations the URL is in.  Together they are the key of a
`Scope`, and each scope is computed once.  The pool keeps those that it knows; a child that meets an unknown one (a new
key, a changed file) reads the files, computes it, and reports both, so that every later child starts with it.  A
request that meets nothing new pays for a stat of each directory and one look into a table.

The pool's own scope is that of the site's first page, without locations: it holds while the app is imported.
Everything here runs as the site's user.  What comes back from a child is no more trusted than what lies in the site's
files: it is merged by the same rules.
"""

from __future__ import annotations

import marshal
import os
import sys

from itkwsgi.ini import override_file
from itkwsgi.ini.match import canonical, chain, covering, top_of
from itkwsgi.ini.merge import Said, merge
from itkwsgi.ini.override_file import Override
from itkwsgi.ini.registry import BY_NAME
from itkwsgi.ini.values import Wrong
from itkwsgi.runtime.failures import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from itkwsgi.ini.merge import Table

    Stamped = tuple[tuple[str, tuple[int, int, int, int]], ...]
    Key = tuple[tuple[int, ...], Stamped, tuple[int, ...]]

# Scopes and files kept; with more, everything is forgotten and learned anew.
MOST_KNOWN = 512
# From this depth on it is asked whether the directory exists at all: a URL can name hundreds that do not.
DEEP = 4


class Scope:
    """What holds for some requests.

    ``settings``: what was said, by name.  ``remarks``: lines on what in the site's files has no effect.
    ``told``: names whose value is that of the site's own files.  ``outer``: the administrator's open_basedir where such
    a file narrowed it: what it names may be a link, so both must hold.  ``changes``: names of settings that a process
    of the pool must change to come here; None until that was asked.
    """

    __slots__ = ("at_hand", "changes", "key", "outer", "remarks", "settings", "told")

    def __init__(self, key: Key, settings: Table, remarks: list[str], told: frozenset[str]) -> None:
        self.key, self.settings, self.remarks, self.told = key, settings, remarks, told
        self.outer: Said | None = None
        self.changes: tuple[Any, ...] | None = None
        self.at_hand = AtHand(self)

    def value(self, name: str) -> Any:
        """What was said, else the default."""
        said = self.settings.get(name)
        return BY_NAME[name].default if said is None else said.value


HANDY = (
    "auto_append_file",
    "auto_prepend_file",
    "engine",
    "max_execution_time",
    "max_input_time",
    "output_buffering",
    "post_max_size",
    "request_timeout",
    "revalidate",
    "slow_request",
)


class AtHand:
    """What each request asks of its scope, in one place: a child copies every page of memory that it touches."""

    __slots__ = (*HANDY, "is_special", "limits", "time_is_fixed", "timeout_is_told")

    auto_append_file: str | None
    auto_prepend_file: str | None
    engine: bool
    max_execution_time: float | None
    max_input_time: float | None
    output_buffering: int
    post_max_size: int | None
    request_timeout: float | None
    revalidate: float | None
    slow_request: float | None

    def __init__(self, scope: Scope) -> None:
        for name in HANDY:
            setattr(self, name, scope.value(name))
        said = scope.settings.get("max_execution_time")
        self.time_is_fixed = said is not None and said.fixed
        self.timeout_is_told = "request_timeout" in scope.told
        self.limits: tuple[int, int] | None = None  # of processor time of a fresh process, once the pool laid it out
        # There is more to do than to call the app.
        files = (self.auto_append_file, self.auto_prepend_file, scope.value("error_log"))
        others = (self.max_input_time, self.output_buffering, self.request_timeout, self.slow_request)
        self.is_special = not self.engine or any(files) or any(others) or "default_charset" in scope.settings


class Scopes:
    """The scopes of one site.  ``data``: "settings" of the pool's plan; ``file``: the app's own file."""

    def __init__(self, data: dict[str, Any], file: str) -> None:
        self.site = table_of(data["site"])
        self.directories = [(path, table_of(said)) for path, said in data["directories"]]
        self.locations = [(prefix, table_of(said)) for prefix, said in data["locations"]]
        self.allowed = frozenset(data["override"] or ())
        self.public: str = data["public"]
        self.tops = tuple(top for top in (data["root"], self.public) if top)
        self.by_path = bool(self.public or self.locations)
        self.public_start = self.public.rstrip("/")
        self.directory_starts = [(index, slashed(path)) for index, (path, _) in enumerate(self.directories)]
        self.location_starts = [(index, slashed(prefix)) for index, (prefix, _) in enumerate(self.locations)]
        file = self.public or file
        self.own_chain = chain(file, top_of(file, self.tops)) or self.tops[:1]
        self.own_covering = covering(file, self.directories)
        self.code: Table = {}  # set by the site's code while it was imported
        self.files: dict[str, tuple[tuple[int, ...], Override]] = {}
        self.known: dict[Key, Scope] = {}
        self.sample = "/"  # a path that somebody asked for

    # --- for a request

    def of_pool(self) -> Scope:
        """The scope of the site as a whole.  Raises OSError when a directory cannot be looked at."""
        return self.find((self.own_covering, self.stamps(self.own_chain), ()))

    def of_tables(self) -> Scope:
        """The same, by the administrator's tables alone."""
        return self.find((self.own_covering, (), ()))

    def of_request(self, path: str) -> Scope:
        """The scope of a URL's whole path, as WSGI has it (latin-1).  Raises OSError as above."""
        return self.find(self.key_of(path))

    def key_of(self, path: str) -> Key:
        """What the scope of that path depends on: as `ini.match` says it, with few calls."""
        if not self.by_path:
            return self.own_covering, self.stamps(self.own_chain), ()
        if not path.isascii():
            path = os.fsdecode(path.encode("latin-1"))
        if "//" in path or "/." in path:
            path = canonical(path)
        if path[-1:] != "/":
            path += "/"
        inside = tuple([index for index, start in self.location_starts if path.startswith(start)])
        if not self.public:
            return self.own_covering, self.stamps(self.own_chain), inside
        file = self.public_start + path
        covered = tuple([index for index, start in self.directory_starts if file.startswith(start)])
        return covered, self.stamps(self.own_chain, path), inside

    def stamps(self, directories: tuple[str, ...], below: str = "/") -> Stamped:
        """The own files there are in these directories, and on this path below the last of them, each with its stamp.

        Whether there is one at all is asked by access(2), which tells without an exception; of one that was there, not.
        """
        if not self.allowed:
            return ()
        if below != "/":
            directories += self.down(below)
        found = []
        for directory in directories:
            if directory in self.files or os.access(f"{directory}/{override_file.NAME}", os.F_OK):
                stamp = override_file.stamp(directory)
                if stamp is not None:
                    found.append((directory, stamp))
        return tuple(found)

    def down(self, path: str) -> tuple[str, ...]:
        """The directories below ``public`` that the path names, as far as they can be there."""
        found = []
        directory = self.public_start
        for depth, part in enumerate(path.strip("/").split("/"), 1):
            directory = f"{directory}/{part}"
            if "\0" in part or (depth > DEEP and not os.path.isdir(directory)):
                break
            found.append(directory)
        return tuple(found)

    # --- computed

    def find(self, key: Key) -> Scope:
        """The scope with that key, known or computed now."""
        scope = self.known.get(key)
        if scope is None:
            scope = self.compute(key)
            self.keep(scope)
        return scope

    def compute(self, key: Key) -> Scope:
        """Read what is not read yet, and merge."""
        covering, stamped, inside = key
        site = self.site
        if self.code:
            site = {**site, **{name: said for name, said in self.code.items() if not is_fixed(site.get(name))}}
        directories = [self.directories[index][1] for index in covering]
        locations = [self.locations[index][1] for index in inside]
        files = [self.file(directory, stamp) for directory, stamp in stamped]
        merged = merge(site, directories, [file.said for file in files], locations)
        remarks = [str(remark) for file in files for remark in file.remarks] + list(map(str, merged.remarks))
        own = {id(said) for file in files for said in file.said.values()}
        told = frozenset(name for name, said in merged.settings.items() if id(said) in own)
        scope = Scope(key, merged.settings, remarks, told)
        if "open_basedir" in told:
            scope.outer = merge(site, directories, (), locations).settings.get("open_basedir")
        if "optimize" in told and scope.value("optimize") != sys.flags.optimize:
            where = merged.settings["optimize"].where
            remarks.append(f"{where}: optimize: has no effect here: an interpreter learns it at its start")
        return scope

    def file(self, directory: str, stamp: tuple[int, ...]) -> Override:
        """What the own file there says."""
        known = self.files.get(directory)
        if known is not None and known[0] == stamp:
            return known[1]
        file = override_file.load(directory, self.tops, self.allowed)
        self.files[directory] = (stamp, file)
        return file

    def keep(self, scope: Scope) -> None:
        """Keep it, within bounds."""
        if len(self.known) >= MOST_KNOWN:
            self.known.clear()
            self.files.clear()
        self.known[scope.key] = scope

    def outdated(self, scope: Scope) -> bool:
        """Did the own files beside the app change since that scope of the pool was computed?"""
        return self.stamps(self.own_chain) != scope.key[1]

    def forget(self) -> None:
        """All that was computed: the site's code said something new."""
        self.known.clear()

    # --- from a child to its pool

    def report(self, scope: Scope, path: str = "/") -> bytes:
        """A new scope, as the pool learns it, and a path in it."""
        files = [(directory, stamp, self.files[directory][1].plain()) for directory, stamp in scope.key[1]]
        return marshal.dumps((scope.key, files, path))

    def learn(self, report: bytes) -> Scope | None:
        """Take a child's report; None when there is nothing new in it, or nothing that could be true."""
        try:
            key, files, path = marshal.loads(report)
            if key in self.known:
                return None
            found = {directory: (stamp, genuine(Override.of(plain, self.allowed))) for directory, stamp, plain in files}
            for directory, stamp in key[1]:
                if found[directory][0] != stamp:
                    raise ValueError("of another file")
            self.files.update(found)
            self.sample = path if isinstance(path, str) else "/"
            return self.find(key)
        except (ValueError, TypeError, KeyError, IndexError, EOFError, AttributeError) as error:
            log(f"a report of a process of this site makes no sense: {error}")
            return None


def table_of(plain: dict[str, Any]) -> Table:
    """A table of the plan."""
    return {name: Said(value, fixed, where) for name, (value, fixed, where) in plain.items()}


def genuine(file: Override) -> Override:
    """The same, if each value is one that could have been parsed.  Raises ValueError."""
    for name, said in file.said.items():
        setting = BY_NAME[name]
        try:
            same = setting.parse(setting.written(said.value), "/") == said.value
        except Wrong as wrong:
            raise ValueError(f"{name}: {wrong}") from None
        if not same:
            raise ValueError(f"{name}: {said.value!r}")
    return file


def slashed(path: str) -> str:
    """A directory or prefix with a slash at its end: what it covers begins with that."""
    return path.rstrip("/") + "/"


def is_fixed(said: Said | None) -> bool:
    return said is not None and said.fixed
