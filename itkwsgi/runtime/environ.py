"""From FastCGI parameters to the environ of PEP 3333: pure.

No parameter is believed beyond what a visitor may say anyway: none chooses an identity, a setting or a file.  Another
web server in front (pool_socket) splits SCRIPT_NAME and PATH_INFO by its own rules; the mount of the app decides here,
so both are joined and split again.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO, Any, TextIO

# What a client of the socket could use to pretend to be a part of the server.
NOT_PASSED = frozenset((b"HTTP_PROXY", b"PHP_VALUE", b"PHP_ADMIN_VALUE"))


def build_environ(
    params: Mapping[bytes, bytes], body: IO[bytes], errors: TextIO, *, mount: str = "", once: bool = True
) -> dict[str, Any]:
    """Make a complete environ.

    ``params``: the FastCGI parameters.  ``mount``: the URL prefix the app stands under, "" for the whole site.
    ``once``: this process serves no further request.  PEP 3333, "environ Variables"; RFC 3875 section 4.1.
    """
    environ: dict[str, Any] = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in params.items() if name not in NOT_PASSED
    }
    split_path(environ, mount)
    complete_cgi(environ)
    environ["wsgi.version"] = (1, 0)
    environ["wsgi.url_scheme"] = scheme(environ)
    environ["wsgi.input"] = body
    environ["wsgi.errors"] = errors
    environ["wsgi.multithread"] = False
    environ["wsgi.multiprocess"] = True
    environ["wsgi.run_once"] = once
    environ["wsgi.input_terminated"] = True
    environ["wsgi.file_wrapper"] = FileWrapper
    return environ


def split_path(environ: dict[str, Any], mount: str) -> None:
    """SCRIPT_NAME is the mount, PATH_INFO the rest, whatever the web server made of them."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if mount and (path == mount or path.startswith(mount + "/")):
        path = path[len(mount) :]
    environ["SCRIPT_NAME"] = mount
    environ["PATH_INFO"] = path


def complete_cgi(environ: dict[str, Any]) -> None:
    """What PEP 3333 requires to be there, and that an empty CONTENT_LENGTH (nginx sends it) is absent."""
    environ.setdefault("REQUEST_METHOD", "GET")
    environ.setdefault("QUERY_STRING", "")
    environ.setdefault("SERVER_PROTOCOL", "HTTP/1.1")
    environ.setdefault("SERVER_NAME", "localhost")
    environ.setdefault("SERVER_PORT", "80")
    for name in ("CONTENT_LENGTH", "CONTENT_TYPE"):
        if environ.get(name) == "":
            del environ[name]


def scheme(environ: Mapping[str, Any]) -> str:
    """``https`` or ``http``: Apache and nginx say HTTPS=on, nginx also REQUEST_SCHEME."""
    if str(environ.get("HTTPS", "")).lower() in ("on", "1"):
        return "https"
    return "https" if environ.get("REQUEST_SCHEME") == "https" else "http"


class FileWrapper:
    """wsgi.file_wrapper: an iterable over a file's blocks (PEP 3333, "Optional Platform-Specific File Handling")."""

    def __init__(self, filelike: Any, block_size: int = 65536) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        block: bytes = self.filelike.read(self.block_size)
        if block:
            return block
        raise StopIteration
