"""Which requests of a site its directories and locations cover, and what the administrator says for them; pure.

A URL means a file below ``public``, else the app's own.  So a directory covers all URLs, those below one prefix, or
none, and what the administrator says comes down to prefixes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from itkwsgi.config.model import Area, Said, Vhost
from itkwsgi.ini.match import mapped
from itkwsgi.ini.merge import merge
from itkwsgi.ini.tighter import is_within

Table: TypeAlias = dict[str, Said]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which areas of a site cover what.  ``file``: of the app, "" for none to be had; the areas are short to long."""

    public: str | None
    file: str
    settings: Table
    directories: tuple[Area, ...]
    locations: tuple[Area, ...]

    def file_at(self, prefix: str) -> str:
        """The file that the URL with that path means."""
        return mapped(prefix or "/", self.public) if self.public else self.file

    def directories_at(self, prefix: str) -> list[Area]:
        """Those that cover every URL below the prefix."""
        return [area for area in self.directories if is_within(self.file_at(prefix), area.path)]

    def locations_at(self, prefix: str) -> list[Area]:
        """Those that cover every URL below the prefix."""
        return [area for area in self.locations if not area.path or is_within(prefix, area.path)]

    def said_at(self, prefix: str, without: Area | None = None) -> Table:
        """What is said for all that is below the prefix."""
        locations = [area.settings for area in self.locations_at(prefix) if area is not without]
        return merge(self.settings, [area.settings for area in self.directories_at(prefix)], (), locations).settings

    def said_above(self, directory: Area) -> Table:
        """What is said for all that is around a directory."""
        above = (area for area in self.directories if area is not directory and is_within(directory.path, area.path))
        return merge(self.settings, [area.settings for area in above]).settings

    def prefix_of(self, directory: str) -> str | None:
        """Of the URLs that a directory covers: "" for all of them, None for none."""
        if is_within(self.file_at(""), directory):
            return ""
        if self.public and is_within(directory, self.public):
            return directory[len(self.public.rstrip("/")) :]
        return None

    def edges(self) -> list[str]:
        """The prefixes below which something is said that is not said above them, an outer one before an inner one."""
        prefixes = {area.path for area in self.locations}
        prefixes.update(self.prefix_of(area.path) or "" for area in self.directories)
        return sorted(prefixes - {""}, key=lambda prefix: (prefix.count("/"), prefix))


def coverage_of(vhost: Vhost) -> Coverage:
    """That of a site, or of the site that a part is of."""
    return Coverage(vhost.public, vhost.file, vhost.settings, vhost.directories, vhost.locations)
