"""Which settings hold here, and what they do: each folder of this site has others, and each page says where they stand.

Forms at the foot of the page run into the limits on purpose.  /info shows all that a site can know of its process.
"""

import os
import time
from html import escape
from pathlib import Path
from string import Template

from itkwsgi import SettingLocked, TimeLimitExceeded, info

PAGE = Template(Path(__file__).with_name("page.html").read_text("utf-8"))
FOLDERS = {
    "/": "What itk.toml says for the site as a whole.",
    "/reports/": "A folder that may do more: itk.toml says so for the directory, and its own .itk.toml says the rest.",
    "/uploads/": "A location: itk.toml lets more be sent here, and nothing else is different.",
}
SHOWN = (
    "memory_limit", "max_execution_time", "request_timeout", "post_max_size", "max_open_files", "open_basedir",
    "disable", "display_errors", "timezone",
)  # fmt: skip
KILOBYTE, MEGABYTE = 2**10, 2**20


def application(environ, start_response):
    if environ["PATH_INFO"] == "/info":
        return info.application(environ, start_response)
    folder, action = environ["PATH_INFO"].rpartition("/")[::2]
    folder += "/"
    work = ACTIONS.get(action) if environ["REQUEST_METHOD"] == "POST" else None
    if folder not in FOLDERS or (action and work is None):
        return answer(start_response, "404 Not Found", "Nothing is here. <a href='/'>To the start</a>")
    said = f"<p class='said' role='status'>{escape(work(environ))}</p>" if work else ""
    return answer(start_response, "200 OK", page(environ["itkwsgi.settings"], folder, said))


def answer(start_response, status, text):
    body = text.encode()
    start_response(status, [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


def page(settings, folder, said):
    links = (f"<a href='{path}'{' aria-current=page' * (path == folder)}>{path}</a>" for path in FOLDERS)
    return PAGE.substitute(
        folder=folder,
        about=FOLDERS[folder],
        links="\n".join(links),
        said=said,
        rows="\n".join(row(name, settings.explain(name)) for name in SHOWN),
        process=f"process {os.getpid()} of user {os.getuid()}, a child of pool {os.getppid()}",
    )


def row(name, found):
    """A setting: what it is here, and where that is said; marked where the site as a whole has another value."""
    kind = " class='own'" if found.value != found.master else ""
    origin = found.origin.replace(os.getcwd() + "/", "")
    fixed = " (fixed)" if found.fixed else ""
    value = f"{spelled(found)}</td><td>{escape(origin)}{fixed}, by the {found.enforced}"
    return f"<tr{kind}><th>{name}</th><td>{value}</td></tr>"


def spelled(found):
    """The value for people."""
    value = found.value
    if found.unit == "bytes" and value is not None:
        return f"{value / KILOBYTE:g} KB" if value < MEGABYTE else f"{value / MEGABYTE:g} MB"
    if isinstance(value, float):
        return f"{value:g} {found.unit}"
    return escape(", ".join(value) if isinstance(value, list) else str(value))


# --- what the forms do


def take_memory(environ):
    """More and more of it, until there is none."""
    taken = []
    try:
        while len(taken) < 1024:
            taken.append(bytearray(MEGABYTE))
    except MemoryError:
        taken, size = None, len(taken)
        return f"MemoryError, after {size} MB more than the interpreter had."
    return "1024 MB were to be had: there is no limit here that ends it."


def take_time(environ):
    """Work without an end; at most for ten seconds."""
    begun = time.process_time()
    try:
        while time.process_time() - begun < 10:
            sum(range(10_000))
    except TimeLimitExceeded as limit:
        return f"TimeLimitExceeded, after {time.process_time() - begun:.1f} s of work: {limit}"
    return "Ten seconds of work: no limit ended it."


def wait(environ):
    """It costs no processor time, only patience."""
    begun = time.monotonic()
    time.sleep(5)
    return f"Waited {time.monotonic() - begun:.0f} s: no limit ended it."


def receive(environ):
    return f"{len(environ['wsgi.input'].read())} bytes came in."


def change(environ):
    """What code may set, and what it may not."""
    settings = environ["itkwsgi.settings"]
    before = settings.set("umask", "0077")
    try:
        settings.set("memory_limit", "none")
    except SettingLocked as locked:
        return f"umask was {before:04o}, now it is 0077.  memory_limit stays as it is: {locked}"
    return f"umask was {before:04o}, now it is 0077.  memory_limit is gone: nobody fixed it."


def fail(environ):
    """Who sees why, display_errors says."""
    return str(1 // 0)


ACTIONS = {
    "memory": take_memory,
    "time": take_time,
    "wait": wait,
    "send": receive,
    "set": change,
    "fail": fail,
}
