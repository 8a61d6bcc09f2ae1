"""What `itkwsgi.info` shows: the facts, asked of the kernel and the interpreter at this moment, in sections.

A section is a title and rows of text.  What looks like a secret is hidden by its name, or within a text by its form
(passwords of URLs, ``password=...``): a page like this is left open more often than it should be.

Imported only by who shows it, so it may import what a site's process else does without.
"""

from __future__ import annotations

import os
import resource
import sys

from itkwsgi import __version__
from itkwsgi.ini.registry import BY_NAME
from itkwsgi.linux import process_status
from itkwsgi.runtime.info_page import COMPARED, html, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    Row = tuple[str, ...]

HIDDEN = "(hidden)"
# Parts of names whose values nobody else is to read.
SECRETS = (
    "KEY", "SECRET", "TOKEN", "PASS", "PWD", "AUTH", "COOKIE", "CREDENTIAL", "DSN", "DATABASE", "SESSION", "PRIVATE",
    "SIGNATURE", "SALT", "CERT", "JWT", "BEARER", "CSRF", "CONNECTION_STRING", "WEBHOOK",
)  # fmt: skip
URL_PASSWORD = r"(://[^\s/?#:@]*:)[^\s/?#]*(?=@)"  # RFC 3986 section 3.2.1
ASSIGNMENT = r"""([\w.%-]+)(\s*=\s*)('[^']*'|"[^"]*"|[^\s&;,'"]+)"""  # of a query, or of a connection string
MEMBER = r"""(["'])([\w.%-]+)\1(\s*:\s*)("(?:\\.|[^"\\])*"|'[^']*'|[^\s,{}\[\]"']+)"""  # of a JSON object
NO_SECRETS = ("PWD", "OLDPWD")  # directories
CAPABILITIES = ("effective", "permitted", "bounding", "ambient")
SECCOMP = {0: "none", 1: "strict", 2: "filters"}


class Section:
    """``heads``: of the columns, () for name and value."""

    __slots__ = ("heads", "rows", "title")

    def __init__(self, title: str, rows: list[Row], heads: Row = ()) -> None:
        self.title, self.rows, self.heads = title, rows, heads


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The page: HTML, or text for ``?format=text`` and for who accepts no HTML."""
    accepts = environ.get("HTTP_ACCEPT", "*/*")
    as_text = "format=text" in environ.get("QUERY_STRING", "").split("&")
    as_text = as_text or not ("text/html" in accepts or "*/*" in accepts)
    found = list(sections(environ))
    page = (text if as_text else html)(found, f"itkwsgi {__version__}, Python {sys.version.split()[0]}")
    data = page.encode("utf-8", "replace")
    start_response(
        "200 OK",
        [
            ("Content-Type", f"text/{'plain' if as_text else 'html'}; charset=utf-8"),
            ("Content-Length", str(len(data))),
            ("Cache-Control", "no-store"),
            ("X-Robots-Tag", "noindex"),
        ],
    )
    return [data]


def sections(environ: Mapping[str, Any]) -> Iterator[Section]:
    """All of it, in the order of the page."""
    settings = environ.get("itkwsgi.settings")
    yield Section("Identity", list(identity()))
    if settings is not None:
        yield settings_section(settings)
    yield limits_section()
    yield Section("Walls", list(walls(settings)))
    yield Section("Interpreter", list(interpreter()))
    yield Section("Server", list(server(environ)))
    yield Section("Request", [(name, shown(name, value)) for name, value in sorted(environ.items())])
    yield Section("Process environment", [(name, shown(name, value)) for name, value in sorted(os.environ.items())])
    yield Section("Packages", list(packages()), ("package", "version"))
    yield Section("Loaded modules", list(modules()))


def identity() -> Iterator[Row]:
    """Who this process is."""
    yield "user", f"{account(os.getuid())} (uid {os.getuid()})"
    yield "group", f"gid {os.getgid()}"
    yield "supplementary groups", ", ".join(map(str, os.getgroups())) or "none"
    yield "process", f"{os.getpid()}, of pool {os.getppid()}"
    yield "directory", os.getcwd()
    yield "nice", str(os.getpriority(os.PRIO_PROCESS, 0))


def account(uid: int) -> str:
    """The name of that user, where there is one and it may be read."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OSError):
        return "no account"


def settings_section(settings: Mapping[str, Any]) -> Section:
    """Every setting with where it comes from."""
    rows: list[Row] = []
    for name in settings:
        found = settings.explain(name)  # type: ignore[attr-defined]
        setting = BY_NAME[name]
        fixed = f"{found.origin} (fixed)" if found.fixed else found.origin
        rows.append(
            (name, spelled(setting, found.value), spelled(setting, found.master), found.mode, fixed, found.enforced)
        )
    return Section("Settings", rows, ("name", *COMPARED, "mode", "origin", "enforced by"))


def spelled(setting: Any, value: Any) -> str:
    """A value as its unit is written."""
    if value is None:
        return "none"
    return str(setting.text(tuple(value) if isinstance(value, list) else value))


def limits_section() -> Section:
    """What getrlimit(2) says, every limit there is."""
    rows: list[Row] = [
        (name, amount(soft), amount(hard))
        for name, number in sorted(vars(resource).items())
        if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"  # NOFILE's other name
        for soft, hard in [resource.getrlimit(number)]
    ]
    return Section("Limits of the kernel", rows, ("limit", "soft", "hard"))


def amount(value: int) -> str:
    """A limit's value."""
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


def walls(settings: Mapping[str, Any] | None) -> Iterator[Row]:
    """What binds it beyond its user, read back from the kernel where it can be."""
    status = process_status.read()
    yield "no_new_privs", "yes" if status.no_new_privs else "no"
    yield "seccomp", f"{SECCOMP.get(status.seccomp, 'unknown')}, {status.filters} in force"
    if settings is not None:
        yield "open_basedir (Landlock)", ", ".join(settings["open_basedir"] or ()) or "not asked for"
        yield "disable (seccomp)", ", ".join(settings["disable"] or ()) or "nothing"
    for name in CAPABILITIES:
        bits = getattr(status, name)
        yield f"{name} capabilities", f"{bits:#x}" if bits else "none"
    yield "umask", f"{current_umask():04o}"
    yield "OOM score", first_of("/proc/self/oom_score_adj")
    yield "control group", first_of("/proc/self/cgroup")


def current_umask() -> int:
    """umask(2) tells only when it sets."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def first_of(path: str) -> str:
    """What a file says, on one line."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return ", ".join(file.read().split("\n")).strip(", ")
    except OSError as error:
        return f"({error.strerror})"


def interpreter() -> Iterator[Row]:
    """Which Python, and what it finds."""
    yield "version", sys.version.replace("\n", " ")
    yield "executable", sys.executable
    yield "prefix", sys.prefix + (" (a virtual environment)" if sys.prefix != sys.base_prefix else "")
    yield "sys.path", "\n".join(sys.path)
    yield "flags", ", ".join(flags())
    yield "encodings", f"{sys.getdefaultencoding()}, files {sys.getfilesystemencoding()}"
    yield "platform", " ".join(os.uname()[index] for index in (0, 2, 4))


def flags() -> Iterator[str]:
    """Those the interpreter was started with; 0 and False are left out."""
    for name in dir(sys.flags):
        value = getattr(sys.flags, name)
        if not name.startswith(("_", "n_")) and isinstance(value, int) and value:
            yield name if value is True or value == 1 else f"{name}={value}"


def server(environ: Mapping[str, Any]) -> Iterator[Row]:
    """What serves it, and how."""
    yield "version", f"itkwsgi {__version__}"
    yield "a process for each request", "yes" if environ.get("wsgi.run_once") else "no: it serves several"


def packages() -> Iterator[Row]:
    """What is installed where this interpreter looks."""
    from importlib import metadata

    found = {
        str(each.metadata["Name"]): str(each.version) for each in metadata.distributions() if each.metadata["Name"]
    }
    yield from sorted(found.items(), key=lambda row: row[0].lower())


def modules() -> Iterator[Row]:
    """What is loaded; by name only the tops of packages."""
    yield "count", str(len(sys.modules))
    yield "names", ", ".join(sorted({name.partition(".")[0] for name in list(sys.modules) if name[:1] != "_"}))


def shown(name: str, value: object) -> str:
    """A value as it may be shown."""
    if is_secret(name) and name not in NO_SECRETS:
        return HIDDEN
    if isinstance(value, (str, bool, int, float)) or name == "wsgi.version":
        return without_secrets(str(value))
    return f"<{type(value).__module__}.{type(value).__qualname__}>"


def is_secret(name: str) -> bool:
    """Does the name say that its value is nobody else's?"""
    name = name.upper()
    return any(part in name for part in SECRETS)


def without_secrets(text: str) -> str:
    """URLs in the text keep their user and lose their password; ``name=value`` its value if the name is a secret's."""
    import re

    text = re.sub(URL_PASSWORD, lambda found: found[1] + HIDDEN, text)
    text = re.sub(MEMBER, lambda found: hide(found, found[2]), text)
    return re.sub(ASSIGNMENT, lambda found: hide(found, found[1]), text)


def hide(found: Any, name: str) -> str:
    """What was found, its last part hidden if the name is a secret's."""
    whole: str = found[0]
    return whole[: len(whole) - len(found[found.lastindex])] + HIDDEN if is_secret(name) else whole
