"""itkwsgi itself, as an operator would run it: a generated itk.toml, ``serve``, and the line ``ready`` on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server import Server

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Site:
    """One vhost; ``folder`` and ``module`` name a sample site.

    The environment ``plain`` preloads nothing, ``web`` preloads Flask.  ``more``: lines of its table in itk.toml, with
    {root} for the site's directory.
    """

    host: str
    user: int
    folder: str = "flask"
    module: str = "flask_hello"
    environment: str = "web"
    requests_per_child: int = 1
    min_spare: int = 1
    warmup: bool = False
    idle_timeout: str = "5m"
    more: str = ""


def itk_toml(sites: Iterable[Site], directory: Path, sites_root: Path, port: int, venv: Path) -> str:
    """Return an itk.toml for these sites, with everything the server writes below ``directory``."""
    server = {
        "listen": [f"127.0.0.1:{port}"],
        "run_dir": f"{directory}/run",
        "spool_dir": f"{directory}/spool",
        "access_log": f"{directory}/access.log",
        "error_log": f"{directory}/error.log",
    }
    parts = [
        table("[server]", server),
        table("[environment.plain]", {"venv": str(venv)}),
        table("[environment.web]", {"venv": str(venv), "preload": ["flask"]}),
        *(table("[[vhost]]", vhost(site, sites_root)) + more(site, sites_root) for site in sites),
    ]
    return "\n".join(parts)


def vhost(site: Site, sites_root: Path) -> dict[str, object]:
    """Return the keys of one vhost."""
    return {
        "name": site.host,
        "user": site.user,
        "root": f"{sites_root}/{site.folder}",
        "app": f"{site.module}:application",
        "environment": site.environment,
        "requests_per_child": site.requests_per_child,
        "min_spare": site.min_spare,
        "warmup": ["/"] if site.warmup else [],
        "idle_timeout": site.idle_timeout,
    }


def more(site: Site, sites_root: Path) -> str:
    """Return what else is said of one vhost."""
    return site.more.replace("{root}", f"{sites_root}/{site.folder}")


def table(head: str, keys: Mapping[str, object]) -> str:
    """Return one TOML table; JSON's numbers and arrays, and its strings in ASCII, are TOML too."""
    return "\n".join([head, *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""])


class Itkwsgi(Server):
    """The server with any number of sites."""

    def __init__(
        self, work: Path, venv: Path, program: Sequence[str], sites: Sequence[Site], name: str = "itkwsgi"
    ) -> None:
        self.name = name
        self.cwd = PROJECT
        super().__init__(work)
        self.work, self.venv, self.program, self.sites = work, venv, program, sites

    def command(self) -> list[str]:
        """Write the configuration."""
        config = self.directory / "itk.toml"
        config.write_text(itk_toml(self.sites, self.directory, self.work / "sites", self.port, self.venv))
        return [*self.program, "serve", str(config)]

    def is_ready(self) -> bool:
        """Look for the line; it is the last one of the start."""
        return self.output.exists() and "ready" in self.output.read_text(errors="replace").splitlines()
