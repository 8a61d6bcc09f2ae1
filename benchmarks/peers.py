"""The peers: each with a configuration of its own below its own directory, nothing of /etc/apache2 is read.

They get what favours them: Apache loads only the modules it needs, Debian's defaults for prefork and opcache hold,
mod_wsgi runs in the main interpreter. What is *not* done is loading a site's code before the switch to its user
(WSGIImportScript under mpm-itk would run it as root): the guarantee compared is "this site's code runs as this
site's user only". All write an access log, as itkwsgi does.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from benchmarks import BenchmarkError
from benchmarks.machine import APACHE, MODULES
from benchmarks.server import Server

WORKERS = os.cpu_count() or 1
FLASK_USER = 50101
PHP_USER = 50102

PREFORK = """
StartServers 5
MinSpareServers 5
MaxSpareServers 10
MaxRequestWorkers 150
MaxConnectionsPerChild 0
"""

COMMON = """\
ServerRoot "{directory}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{directory}/pid"
DefaultRuntimeDir "{directory}"
User www-data
Group www-data
ErrorLog "{directory}/error.log"
LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined
CustomLog "{directory}/access.log" combined
DocumentRoot "{root}"
<Directory "{root}">
    Require all granted
</Directory>
"""


def apache_config(directory: Path, port: int, root: Path, modules: dict[str, Path], extra: str) -> str:
    """Return a whole Apache configuration: modules by name, the common part, then what makes the difference."""
    loads = "".join(f'LoadModule {name}_module "{path}"\n' for name, path in modules.items())
    return loads + COMMON.format(directory=directory, port=port, root=root) + extra


class Network(Server):
    """A server that is ready when its port answers."""

    def is_ready(self) -> bool:
        """Try to connect."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Apache(Network):
    """One Apache instance of its own; subclasses say what it serves."""

    site: str
    mpm = "prefork"

    def __init__(self, work: Path, venv: Path) -> None:
        super().__init__(work)
        self.root = work / "sites" / self.site
        self.venv = venv

    def command(self) -> list[str]:
        """Write the configuration; -DFOREGROUND keeps Apache this program's child."""
        config = self.directory / "apache.conf"
        modules = {f"mpm_{self.mpm}": MODULES / f"mod_mpm_{self.mpm}.so", "authz_core": MODULES / "mod_authz_core.so"}
        modules |= self.modules()
        config.write_text(apache_config(self.directory, self.port, self.root, modules, self.extra()))
        return [str(APACHE), "-f", str(config), "-DFOREGROUND"]

    def modules(self) -> dict[str, Path]:
        """Return the modules that make the difference."""
        raise NotImplementedError

    def extra(self) -> str:
        """Return the directives that make the difference."""
        raise NotImplementedError


class ItkPhp(Apache):
    """mpm-itk + mod_php: the peer in spirit, a fresh process with the site's user for each connection."""

    name = "apache-itk-php"
    site = "php"

    def modules(self) -> dict[str, Path]:
        """Return mpm-itk and whichever PHP Debian has."""
        libraries = sorted(MODULES.glob("libphp*.so"))
        if not libraries:
            raise BenchmarkError("mod_php is missing: libapache2-mod-php")
        return {"mpm_itk": MODULES / "mpm_itk.so", "php": libraries[-1]}

    def extra(self) -> str:
        """Return the user and the handler."""
        handler = '<FilesMatch "\\.php$">\n    SetHandler application/x-httpd-php\n</FilesMatch>\n'
        return f"{PREFORK}AssignUserID #{PHP_USER} #{PHP_USER}\n{handler}"


class ItkWsgi(Apache):
    """mpm-itk + mod_wsgi embedded: the same for Python, with a cold import for each connection."""

    name = "apache-itk-wsgi"
    site = "flask"

    def modules(self) -> dict[str, Path]:
        """Return mpm-itk and mod_wsgi."""
        return {"mpm_itk": MODULES / "mpm_itk.so", "wsgi": MODULES / "mod_wsgi.so"}

    def extra(self) -> str:
        """Return the user and the application."""
        return f"{PREFORK}AssignUserID #{FLASK_USER} #{FLASK_USER}\nWSGIPythonHome {self.venv}\n{self.alias()}"

    def alias(self) -> str:
        """Return the application for all of the URL space, in the main interpreter."""
        return f"WSGIApplicationGroup %{{GLOBAL}}\nWSGIScriptAlias / {self.root}/flask_hello.py\n"


class WsgiDaemon(ItkWsgi):
    """mod_wsgi in daemon mode, a process per core: processes live on, requests share them.

    Its user must have an account, so it is Debian's www-data.
    """

    name = "apache-wsgi-daemon"
    mpm = "event"

    def modules(self) -> dict[str, Path]:
        """Return mod_wsgi alone: the daemons have the site's user by themselves."""
        return {"wsgi": MODULES / "mod_wsgi.so"}

    def extra(self) -> str:
        """Return the daemon group and the application in it."""
        daemon = f"user=www-data group=www-data processes={WORKERS} python-home={self.venv}"
        group = f"WSGISocketPrefix {self.directory}/wsgi\nWSGIDaemonProcess site {daemon}\nWSGIProcessGroup site\n"
        return group + self.alias()


class Gunicorn(Network):
    """gunicorn with a sync worker per core; requests share them."""

    name = "gunicorn"

    def __init__(self, work: Path, venv: Path) -> None:
        super().__init__(work)
        self.root = work / "sites" / "flask"
        self.program = venv / "bin/gunicorn"

    def command(self) -> list[str]:
        """Everything is on the command line."""
        user = ["--user", str(FLASK_USER), "--group", str(FLASK_USER), "--chdir", str(self.root)]
        log = ["--access-logfile", f"{self.directory}/access.log", "--error-logfile", f"{self.directory}/error.log"]
        bind = ["--bind", f"127.0.0.1:{self.port}", "--workers", str(WORKERS)]
        return [str(self.program), *bind, *user, *log, "flask_hello:application"]


class Uwsgi(Network):
    """uWSGI's own HTTP server (C), a process per core; requests share them."""

    name = "uwsgi"

    def __init__(self, work: Path, venv: Path) -> None:
        super().__init__(work)
        self.root = work / "sites" / "flask"
        self.venv = venv
        self.program = venv / "bin/uwsgi"

    def command(self) -> list[str]:
        """Everything is on the command line; need-app makes a failed import end it.

        http-socket closes every connection but does not say so, which a client takes for a fault: the header is added.
        """
        user = ["--uid", str(FLASK_USER), "--gid", str(FLASK_USER), "--chdir", str(self.root)]
        serve = ["--http-socket", f"127.0.0.1:{self.port}", "--master", "--processes", str(WORKERS), "--die-on-term"]
        app = ["--virtualenv", str(self.venv), "--module", "flask_hello:application", "--need-app"]
        close = ["--add-header", "Connection: close"]
        return [str(self.program), *serve, *user, *app, *close]
