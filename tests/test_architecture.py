"""The architecture, as far as a program can hold it: who may import whom, what each role loads, how large things get.

Read from the source with `ast`, so that a forbidden import is found in whatever branch it stands; only the import
budgets start interpreters.
"""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PACKAGE = TOP / "itkwsgi"
MODULES = sorted(PACKAGE.rglob("*.py"))

ROLES = {"supervisor", "front", "log", "zygote", "runtime", "cli"}

# Who may import whom, inside itkwsgi.  A name stands for the module or package and all that is in it.
MAY_IMPORT = {
    "__init__": set(),
    "__main__": {"cli"},
    "boot": {"zygote.main", "runtime.main"},  # their interpreters' first file: it starts the one or the other
    "info": {"runtime.info"},  # where sites look for it
    "errors": set(),
    "wire": {"errors"},
    "linux": {"errors"},
    "ini": {"errors"},
    "config": {"errors", "ini", "linux.abilities"},
    "supervisor": {"config", "ini", "wire", "linux", "errors"},
    "front": {"ini.match", "wire", "linux", "errors"},
    "log": {"wire", "linux", "errors"},
    "zygote": {
        "wire",
        "linux",
        "errors",
        "runtime.confine",
        "runtime.interpreter",
        "runtime.main",
        "runtime.packages",
        "runtime.rehearsal",
    },  # a pool is a fork of it
    "runtime": {"ini", "wire", "linux", "errors"},
    "cli": {
        "config",
        "ini",
        "errors",
        "linux.abilities",
        "linux.by_prctl",  # to become a site's user, as whom its files are looked at
        "linux.identity",
        "linux.launch",
        "linux.switch",
    },
}

# Which packages that are not Python's own.
MAY_IMPORT_THIRD_PARTY = {
    "linux.by_prctl": {"prctl"},
    "linux.launch": {"prctl"},
    "supervisor.__main__": {"prctl"},
    "runtime.warm": {"django", "flask"},  # only where the site has loaded them itself
    "front": {"markupsafe", "prctl", "uvloop", "werkzeug"},
    "cli": {"click", "toml"},
}

# These run in the sites' own interpreters, from Python 3.9 on.
RUNS_IN_SITES = {"__init__", "boot", "errors", "info", "wire", "linux", "ini", "zygote", "runtime"}
OURS_ALONE = {
    "linux.abilities",
    "linux.bpf",
    "linux.by_prctl",
    "linux.cgroup",
    "linux.filters",
    "linux.launch",
    "linux.rulesets",
    "linux.sandbox",
    "linux.syscalls",
}
YOUNGER_THAN_3_9 = {"tomllib"}

HOLDALLS = {"util", "utils", "common", "helper", "helpers", "misc"}
LONGEST_FUNCTION = 60
LONG_MODULE = 350
LONGEST_MODULE = 500
# Modules that are better in one piece than in two, and why.
LONG_FOR_A_REASON: dict[str, str] = {}

HEAVY = {"asyncio", "ssl", "http", "email", "pickle", "multiprocessing", "subprocess"}
ROOT_NEVER_LOADS = HEAVY | {"urllib.request", "concurrent"}
SITES_NEVER_LOAD = HEAVY | {"logging", "inspect"}
FRONT_LOADS = {"markupsafe", "prctl", "_prctl", "uvloop", "cython_runtime", "werkzeug"}
FRONT_NEVER_LOADS = {"pickle", "multiprocessing", "tomllib"}


def dotted(path: Path) -> str:
    """``itkwsgi/wire/control.py`` as ``wire.control``; a package by its own name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def covers(names: set[str], module: str) -> bool:
    """Whether the module, or a package that holds it, is among the names."""
    return any(module == name or module.startswith(name + ".") for name in names)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


class RunTimeOnly(ast.NodeTransformer):
    """Drops what stands under ``if TYPE_CHECKING:``."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        return node.orelse if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


def imports(tree: ast.Module) -> Iterator[str]:
    """Absolute names of all that is imported, wherever the statement stands; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(tree: ast.Module) -> Iterator[str]:
    """The modules of itkwsgi among them, without the package's name in front."""
    for name in imports(tree):
        if name.startswith("itkwsgi."):
            yield name.removeprefix("itkwsgi.")


def as_module(name: str, known: set[str]) -> str:
    """``wire.control.pack`` as ``wire.control``: the longest part that is a module."""
    while name not in known and "." in name:
        name = name.rpartition(".")[0]
    return name


def by_name(path: Path) -> str:
    return str(path.relative_to(TOP))


every_module = pytest.mark.parametrize("path", MODULES, ids=by_name)
every_module_of_sites = pytest.mark.parametrize(
    "path",
    [path for path in MODULES if covers(RUNS_IN_SITES, dotted(path)) and dotted(path) not in OURS_ALONE],
    ids=by_name,
)


# --- Who imports whom


@every_module
def test_imports_only_what_its_package_may(path: Path) -> None:
    package = dotted(path).split(".")[0]
    permitted = MAY_IMPORT[package] | {package, "__version__"}
    assert [name for name in own_imports(tree_of(path)) if not covers(permitted, name)] == []


def test_the_table_lets_no_role_import_another() -> None:
    for role in ROLES:
        others = {name.split(".")[0] for name in MAY_IMPORT[role]} & ROLES - {role}
        assert others == ({"runtime"} if role == "zygote" else set())


def test_every_package_has_its_row() -> None:
    assert {dotted(path).split(".")[0] for path in MODULES} <= set(MAY_IMPORT)


@every_module
def test_third_party_packages_stay_where_they_belong(path: Path) -> None:
    module = dotted(path)
    permitted = set().union(*(names for key, names in MAY_IMPORT_THIRD_PARTY.items() if covers({key}, module)))
    foreign = {name.split(".")[0] for name in imports(tree_of(path))} - sys.stdlib_module_names - {"itkwsgi"}
    assert foreign <= permitted


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    known = {dotted(path) for path in MODULES}
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        run_time = RunTimeOnly().visit(tree_of(path))
        graph[dotted(path)] = {as_module(name, known) for name in own_imports(run_time)} - {dotted(path)}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


# --- What runs in the sites' interpreters


@every_module_of_sites
def test_runs_in_python_3_9(path: Path) -> None:
    tree = ast.parse(path.read_text(), str(path), feature_version=(3, 9))
    assert [f"line {line}: {what}" for line, what in newer_syntax(tree)] == []
    assert YOUNGER_THAN_3_9.isdisjoint(name.split(".")[0] for name in imports(tree_of(path)))


def newer_syntax(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What the parser lets through, or only fails at run time, in 3.9."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Match | ast.TryStar):
            yield node.lineno, type(node).__name__
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield from newer_call(node, node.func.id)


def newer_call(node: ast.Call, name: str) -> Iterator[tuple[int, str]]:
    """A call that 3.9 refuses."""
    keywords = {keyword.arg for keyword in node.keywords}
    if name == "dataclass" and keywords & {"slots", "kw_only"}:
        yield node.lineno, "dataclass(slots, kw_only)"
    if name == "zip" and "strict" in keywords:
        yield node.lineno, "zip(strict)"
    if name in ("isinstance", "issubclass") and isinstance(node.args[1], ast.BinOp):
        yield node.lineno, f"{name} with X | Y"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("match x:\n  case 1: ...", "Match"),
        ("try: ...\nexcept* OSError: ...", "TryStar"),
        ("@dataclass(slots=True)\nclass A: ...", "dataclass(slots, kw_only)"),
        ("zip(a, b, strict=True)", "zip(strict)"),
        ("isinstance(a, int | str)", "isinstance with X | Y"),
    ],
)
def test_newer_syntax_would_be_found(source: str, found: str) -> None:
    assert [what for _, what in newer_syntax(ast.parse(source))] == [found]


# --- What each role loads


def loaded_by(statements: str) -> set[str]:
    """Run statements in a fresh interpreter with only the checkout and the installed packages, nothing else's hooks;
    return the names of what was loaded beyond what that interpreter starts with."""
    code = "\n".join(
        [
            "import sys",
            f"sys.path.insert(0, {str(TOP)!r})",
            f"sys.path.append({sysconfig.get_path('purelib')!r})",
            "before = set(sys.modules)",
            statements,
            "print(*sorted(set(sys.modules) - before))",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def budgets(*rows: tuple[str, str, set[str], set[str]]) -> pytest.MarkDecorator:
    """Parametrise over the roles whose main module is there."""
    present = [row for row in rows if (PACKAGE / row[1]).exists()]
    return pytest.mark.parametrize(("role", "main", "never", "third_party"), present, ids=[row[0] for row in present])


@budgets(
    ("supervisor", "supervisor/__main__.py", ROOT_NEVER_LOADS, {"prctl", "_prctl"}),
    ("log", "log/__main__.py", SITES_NEVER_LOAD, set()),
    ("zygote", "zygote/main.py", SITES_NEVER_LOAD, set()),
    ("runtime", "runtime/main.py", SITES_NEVER_LOAD, set()),
    ("front", "front/__main__.py", FRONT_NEVER_LOADS, FRONT_LOADS),
)
def test_loads_no_more_than_its_budget(role: str, main: str, never: set[str], third_party: set[str]) -> None:
    name = "itkwsgi." + main.removesuffix(".py").replace("/", ".")
    loaded = loaded_by(f"import {name}")
    assert sorted(module for module in loaded if covers(never, module)) == []
    roots = {module.split(".")[0] for module in loaded if not module.startswith("_cython_")}
    foreign = roots - sys.stdlib_module_names - {"itkwsgi"}
    assert foreign <= third_party
    others = ROLES - {role} - ({"runtime"} if role == "zygote" else set())
    assert sorted(module for module in loaded if covers(others, module.removeprefix("itkwsgi."))) == []


def test_the_budget_sees_what_is_loaded() -> None:
    assert {"asyncio", "ssl"} <= loaded_by("import asyncio")


# --- Size and manners


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@every_module
def test_is_of_a_readable_size(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= (LONGEST_MODULE if dotted(path) in LONG_FOR_A_REASON else LONG_MODULE)
    too_long = [
        f"{node.name}, line {node.lineno}: {length} lines"
        for node in functions(path)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert too_long == []


@every_module
def test_is_named_for_what_it_does(path: Path) -> None:
    assert HOLDALLS.isdisjoint(dotted(path).split("."))


@every_module
def test_says_at_its_head_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


@every_module
def test_swallows_no_error(path: Path) -> None:
    swallowed = [
        f"line {node.lineno}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or all(isinstance(statement, ast.Pass) for statement in node.body))
    ]
    assert swallowed == []


@every_module
def test_keeps_no_state_in_the_module(path: Path) -> None:
    assert [f"line {node.lineno}" for node in ast.walk(tree_of(path)) if isinstance(node, ast.Global)] == []
