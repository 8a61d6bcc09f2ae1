"""display_errors: the traceback as a page, for the developer.  Loaded only when there is one to show.

Source lines and the chain of exceptions, and nothing else: no values of variables, no environment, no header of the
request, since secrets live there.  Who asks for no HTML gets plain text.  Everything is escaped; the page needs no
script and nothing from elsewhere.
"""

from __future__ import annotations

import linecache
import os
import traceback
from html import escape

from itkwsgi.runtime.pages import PageApp, answer_html

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

AROUND = 3  # lines before and after the one that failed
MOST_FRAMES = 40  # of one exception; with more, those in the middle are left out
MOST_LINKS = 10  # of a chain of exceptions
LONGEST_LINE = 200  # characters
LONGEST_TITLE = 1000
LONGEST_TEXT = 200_000
OURS = os.path.dirname(__file__) + "/"

STYLE = """
:root{color-scheme:light dark;--ink:#23262b;--paper:#f7f6f3;--soft:#63686f;--line:#dedbd3;--box:#fff;--mark:#fdeceb;
--edge:#c0392b}
@media (prefers-color-scheme:dark){:root{--ink:#e8e6e1;--paper:#17191c;--soft:#9aa0a8;--line:#2e3238;--box:#1e2125;
--mark:#3a2221;--edge:#e57368}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;max-width:62em;margin:0 auto;padding:2em 1em 4em;color:var(--ink);
background:var(--paper);overflow-wrap:anywhere}
h1{font-size:1.5em;line-height:1.3;margin:.2em 0 .4em;letter-spacing:-.01em;white-space:pre-line}
h2{font-size:1.05em;margin:2.2em 0 .6em}
p{margin:.3em 0}
.soft{color:var(--soft)}
code,pre{font:.85em/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
ol{list-style:none;padding:0;margin:1.2em 0 0}
li{margin:0 0 .8em;border:1px solid var(--line);border-radius:6px;background:var(--box);overflow:hidden}
li>p{margin:0;padding:.45em .8em;border-bottom:1px solid var(--line)}
li pre{margin:0;padding:.4em 0;overflow-x:auto}
li pre span{display:block;padding:0 .8em;white-space:pre}
li pre b{display:block;padding:0 .8em;white-space:pre;font-weight:inherit;background:var(--mark);
box-shadow:inset 3px 0 var(--edge)}
li u{text-decoration-color:var(--edge);text-decoration-thickness:2px;text-underline-offset:.25em}
li i{font-style:normal;color:var(--soft);display:inline-block;min-width:3em;user-select:none}
li.left{border:0;background:none;color:var(--soft)}
details pre{overflow-x:auto;padding:1em;border:1px solid var(--line);border-radius:6px;background:var(--box)}
summary{cursor:pointer;margin:2em 0 .8em}
@media (max-width:44em){li pre span,li pre b{white-space:pre-wrap;padding-left:3.8em;text-indent:-3em}
li i{text-indent:0}}
"""
NOTE = "This page is shown because the setting display_errors is on. It is meant for development."


def answer_traceback(
    error: BaseException, error_id: str, environ: dict[str, Any], start_response: Callable[..., Any]
) -> list[bytes]:
    """Answer 500 with the traceback; with the plain page when not even that can be made (memory, an odd exception)."""
    request = f"{environ.get('REQUEST_METHOD', '')} {environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    html = takes_html(environ)
    try:
        text = page(error, error_id, request) if html else plain(error, error_id)
        data = text.encode("utf-8", "replace")
    except Exception:
        return PageApp(500, error_id)(environ, start_response)
    if html:
        return answer_html("500 Internal Server Error", data, start_response)
    fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(data)))]
    fields += [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
    start_response("500 Internal Server Error", fields)
    return [data]


def takes_html(environ: dict[str, Any]) -> bool:
    """Does the client take HTML, as far as its Accept says (RFC 9110 section 12.5.1)?"""
    accepts = environ.get("HTTP_ACCEPT", "*/*")
    return "text/html" in accepts or "*/*" in accepts


def plain(error: BaseException, error_id: str) -> str:
    """The interpreter's own words."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return f"{error_id}\n\n{text[-LONGEST_TEXT:]}"


def page(error: BaseException, error_id: str, request: str) -> str:
    """The whole document."""
    title = escape(first_line(error))
    request = request.encode("latin-1", "replace").decode("utf-8", "replace")
    parts = [
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        f"<title>{title}</title>\n<style>{STYLE}</style>\n",
        f'<p class="soft">{escape(request)}</p>\n<h1>{title}</h1>\n',
        f'<p class="soft">In the log under <code>{error_id}</code>. {NOTE}</p>\n',
        *links(error),
        "<details><summary>As text, to copy</summary>\n<pre>",
        escape(plain(error, error_id)),
        "</pre></details>\n</html>\n",
    ]
    return "".join(parts)


def first_line(error: BaseException) -> str:
    """The exception and what it says."""
    if isinstance(error, SyntaxError):
        text = f"{type(error).__name__}: {error.msg}"  # the interpreter would show the source first
    else:
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
    return shortened(text, LONGEST_TITLE)


def shortened(text: str, most: int) -> str:
    """At most so many characters of it, and that there are more."""
    return text if len(text) <= most else text[:most] + " ..."


def links(error: BaseException) -> Iterator[str]:
    """The exception, those it comes from, and the members of a group, each with its frames."""
    seen: set[int] = set()
    waiting: list[tuple[str, BaseException]] = [("", error)]
    while waiting and len(seen) < MOST_LINKS:
        why, link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        if why:
            yield f"<h2>{why}: {escape(first_line(link))}</h2>\n"
        yield from frames(link)
        waiting[:0] = [*members(link), *origins(link)]


def origins(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """What was raised before it."""
    if error.__cause__ is not None:
        yield "Caused by", error.__cause__
    elif error.__context__ is not None and not error.__suppress_context__:
        yield "Raised while handling", error.__context__


def members(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """Of an exception group (Python 3.11)."""
    for member in getattr(error, "exceptions", ()):
        if isinstance(member, BaseException):
            yield "In the group", member


def frames(error: BaseException) -> Iterator[str]:
    """The frames, the failing one first: that is where the reader looks.  The server's own are not among them."""
    found = list(reversed(traceback.extract_tb(error.__traceback__)))
    found = [frame for frame in found if not frame.filename.startswith(OURS)]
    if isinstance(error, SyntaxError) and isinstance(error.filename, str) and error.lineno:
        found.insert(0, traceback.FrameSummary(error.filename, error.lineno, "", lookup_line=False, line=""))
    left_out = len(found) - MOST_FRAMES
    yield "<ol>\n"
    for number, frame in enumerate(found):
        if left_out > 0 and number == MOST_FRAMES // 2:
            yield f'<li class="left">... {left_out} more frames ...</li>\n'
        if left_out <= 0 or number < MOST_FRAMES // 2 or number >= MOST_FRAMES // 2 + left_out:
            inside = f" in <code>{escape(frame.name)}</code>" if frame.name else ""
            yield f"<li><p><code>{escape(frame.filename)}:{frame.lineno}</code>{inside}</p>"
            yield f"<pre>{''.join(lines(frame))}</pre></li>\n"
    yield "</ol>\n"


def lines(frame: traceback.FrameSummary) -> Iterator[str]:
    """The source around the line that failed, numbered."""
    failed = frame.lineno or 0
    source = linecache.getlines(frame.filename)
    for number in range(max(1, failed - AROUND), failed):
        yield f"<span><i>{number}</i>{escape(line(source, number))}</span>"
    yield f"<b><i>{failed}</i>{marked(line(source, failed, None), frame)}</b>"
    for number in range(failed + 1, min(failed + AROUND, len(source)) + 1):
        yield f"<span><i>{number}</i>{escape(line(source, number))}</span>"


def line(source: list[str], number: int, most: int | None = LONGEST_LINE) -> str:
    """One of them, "" where there is none; no longer than ``most`` characters."""
    text = source[number - 1].rstrip("\n") if 1 <= number <= len(source) else ""
    return text if most is None else shortened(text, most)


def marked(text: str, frame: traceback.FrameSummary) -> str:
    """The line that failed, with the part that failed underlined where the interpreter knows it (from Python 3.11)."""
    begin, end = getattr(frame, "colno", None), getattr(frame, "end_colno", None)
    one_line = frame.lineno == getattr(frame, "end_lineno", None)
    if begin is None or end is None or not one_line or len(text) > LONGEST_LINE:
        return escape(shortened(text, LONGEST_LINE))
    data = text.encode("utf-8", "surrogatepass")  # the interpreter counts bytes
    pieces = [piece.decode("utf-8", "replace") for piece in (data[:begin], data[begin:end], data[end:])]
    before, failed, after = map(escape, pieces)
    return f"{before}<u>{failed}</u>{after}"
