"""What a release promises: one version, a file that loads, a command, scripts that parse, the licence."""

from __future__ import annotations

import re
import subprocess
import tomllib
from configparser import ConfigParser
from importlib import import_module, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import itkwsgi

TOP = Path(__file__).parent.parent


def shell_scripts() -> list[Path]:
    """Every file in script and .ci."""
    return sorted(path for folder in ("script", ".ci") for path in (TOP / folder).iterdir() if path.is_file())


@pytest.fixture(scope="module")
def setup_cfg() -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.read(TOP / "setup.cfg")
    return parser


def requirements(text: str) -> dict[str, Requirement]:
    """One a line, by name."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {requirement.name: requirement for requirement in map(Requirement, lines)}


def test_the_version_is_the_newest_of_the_changes() -> None:
    versions = re.findall(r"^(\d+\.\d+\.\d+) \(.*\)\n-+$", (TOP / "CHANGES.rst").read_text(), re.MULTILINE)
    assert versions[0] == itkwsgi.__version__


def test_the_licence_is_the_gpl_3() -> None:
    head = (TOP / "COPYING").read_text().split()
    assert " ".join(head[:7]) == "GNU GENERAL PUBLIC LICENSE Version 3, 29"


def test_setup_cfg_holds_the_three_named_libraries(setup_cfg: ConfigParser) -> None:
    wanted = requirements(setup_cfg["options"]["install_requires"])
    assert str(wanted["python-prctl"].specifier) == "==1.8.1"
    assert str(wanted["toml"].specifier) == "==0.10.2"
    assert wanted["werkzeug"].specifier.contains("3.1.6") and not wanted["werkzeug"].specifier.contains("3.3")


def test_the_sample_sites_are_tested_with_what_they_run_with(setup_cfg: ConfigParser) -> None:
    tested = requirements(setup_cfg["options.extras_require"]["test"])
    for name, pinned in requirements((TOP / "apps/requirements.txt").read_text()).items():
        (version,) = pinned.specifier
        assert version.operator == "=="
        assert tested[name].specifier.contains(version.version)


def test_the_command_is_there(setup_cfg: ConfigParser) -> None:
    name, _, target = setup_cfg["options.entry_points"]["console_scripts"].strip().partition(" = ")
    assert name == "itkwsgi"
    module, _, function = target.partition(":")
    assert callable(getattr(import_module(module), function))


def test_the_installed_command_is_this_one() -> None:
    try:
        installed = metadata.distribution("itkwsgi")
    except metadata.PackageNotFoundError:
        pytest.skip("run from the source, not installed; script/test installs it")
    (command,) = installed.entry_points.select(group="console_scripts")
    assert (command.name, command.value) == ("itkwsgi", "itkwsgi.cli.main:main")
    assert installed.version == itkwsgi.__version__


def test_itk_toml_has_the_sample_sites() -> None:
    config = tomllib.loads((TOP / "itk.toml").read_text())
    users = {vhost["name"]: (vhost["user"], vhost["group"]) for vhost in config["vhost"]}
    assert users == {
        "whoami.localhost": (50001, 50001),
        "flask.localhost": (50002, 50002),
        "django.localhost": (50003, 50003),
        "settings.localhost": (50004, 50004),
    }


def test_itk_toml_names_only_what_is_there() -> None:
    for vhost in tomllib.loads((TOP / "itk.toml").read_text())["vhost"]:
        root = TOP / vhost["root"]
        module = vhost["app"].partition(":")[0].replace(".", "/")
        assert (root / f"{module}.py").is_file()
        assert (root / vhost.get("env", {}).get("DATA_DIR", ".")).resolve().is_relative_to(TOP)


@pytest.mark.skipif(not (TOP / "var/sites").exists(), reason="script/server or script/test makes the sites' venv")
def test_itk_toml_loads() -> None:
    from itkwsgi.config.load import load

    names = [vhost.name for vhost in load(str(TOP / "itk.toml")).sites]
    assert names == ["whoami.localhost", "flask.localhost", "django.localhost", "settings.localhost"]


@pytest.mark.parametrize("script", shell_scripts(), ids=lambda path: path.name)
def test_shell_scripts_parse(script: Path) -> None:
    first = script.read_text().splitlines()[0]
    shell = "bash" if "bash" in first or first.startswith("# Sourced") else "sh"
    subprocess.run([shell, "-n", str(script)], check=True, timeout=10)


def test_pins_no_place_to_fetch_from() -> None:
    """Which package index is used is the machine's choice."""
    for path in [*shell_scripts(), TOP / "setup.cfg", TOP / "pyproject.toml", TOP / "tox.ini"]:
        text = path.read_text()
        assert "--index-url" not in text
        assert not re.search(r"https?://(?!\w+\.localhost:)", text)
