"""Reads a configuration whole, or says everything that is wrong with it.

In order: the files (and may nobody but root change them), their tables by the declarations, [server], the
environments, the sites, and what only shows when all are seen together.  Any error refuses the whole: nothing is ever
served from half a configuration.  What is wrong with one site alone stays with that site.
"""

from __future__ import annotations

import os

from itkwsgi.config import crosscheck
from itkwsgi.config.environments import fault_in, interpreter
from itkwsgi.config.files import Document, Place, Unreadable, included, read_document
from itkwsgi.config.machine import Machine, this_machine
from itkwsgi.config.model import Config, ConfigError, Environment, Ids, Problem, in_order
from itkwsgi.config.parts import with_parts
from itkwsgi.config.reach import EXECUTE, refusal
from itkwsgi.config.reading import Reader, Report, Section
from itkwsgi.config.server import resolve_server
from itkwsgi.config.sites import Surroundings, resolve_vhost
from itkwsgi.ini.values import Fault


def load(path: str, *, euid: int | None = None, look: bool = True) -> Config:
    """Load itk.toml and what it includes.

    ``euid``: judge as if that user started the server, by default the one who calls.  ``look``: whether the paths of
    sites are looked at (lstat); without it ``Vhost.problems`` says only what the file and the accounts tell.

    Raises `ConfigError`, which holds every problem.
    """
    return load_on(this_machine(euid), path, look=look)


def load_on(machine: Machine, path: str, *, look: bool = True) -> Config:
    """As `load`, on the machine that is given."""
    report = Report()
    reader = Reader(report, None if machine.is_root else machine.home)
    main = read_main(path, machine)
    sections = reader.sections(main, read_included(main, reader, machine))
    server, rules = resolve_server(sections.server, machine, report)
    environments = {
        name: resolve_environment(name, section, server.zygote_ids, machine, report)
        for name, section in sections.environments.items()
    }
    venvs = {name: environment.venv for name, environment in environments.items()}
    around = Surroundings(machine, server, rules, venvs, sections.server.faulty, report, look)
    resolved = [resolve_vhost(index, section, around) for index, section in enumerate(sections.vhosts)]
    vhosts = tuple(with_parts(resolved))
    sites = list(zip(vhosts, sections.vhosts, strict=False))
    report.errors += crosscheck.errors(sections.server, sites)
    report.notes += crosscheck.notes(sites)
    listens = crosscheck.union(server, vhosts)
    if not vhosts:
        report.notes.append(Place(main).problem(Fault("there is no [[vhost]]: nothing is served")))
    if not listens and not vhosts:
        report.errors.append(sections.server.fault("listen", "there is no address to listen on"))
    if report.errors:
        raise ConfigError([*report.errors, *(problem for vhost in vhosts for problem in vhost.problems)])
    return Config(os.path.abspath(path), server, environments, vhosts, in_order(report.notes), listens)


def read_main(path: str, machine: Machine) -> Document:
    """The main file.  Raises `ConfigError`: without it there is nothing more to be said."""
    try:
        return read_document(path, machine)
    except Unreadable as unreadable:
        raise ConfigError([unreadable.problem]) from None
    except OSError as error:  # a relative path, and the working directory is gone
        raise ConfigError([Problem(path, 0, "", f"cannot be read: {error.strerror}")]) from None


def read_included(main: Document, reader: Reader, machine: Machine) -> list[Document]:
    """The included files that can be read."""
    documents = []
    for found in included(main, reader.include(main), machine):
        if isinstance(found, Document):
            documents.append(found)
        else:
            reader.report.errors.append(found)
    return documents


def resolve_environment(name: str, section: Section, zygote: Ids, machine: Machine, report: Report) -> Environment:
    """An environment, its venv checked whole; one that is wrong has none."""
    venv = section.values["venv"] or ""
    if venv:
        fault = fault_in(venv, machine) or refusal(interpreter(venv), zygote, EXECUTE, "file", machine.sight)
        if fault:
            hint = (
                "an environment must be root's, and its interpreter in reach of zygote_user" if machine.is_root else ""
            )
            report.errors.append(section.fault("venv", fault, hint))
            venv = ""
    return Environment(name=name, venv=venv, preload=section.values["preload"], where=section.place.where)
