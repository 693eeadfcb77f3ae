"""The layers of the package: imports point one way, and httpx stands in one module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import kinovi_async

PACKAGE = Path(kinovi_async.__file__).parent

# From the ground up; a module may import from its own row and from those above it in
# this list. What stands in TYPE_CHECKING is no import.
LAYERS = [
    {"_version", "_errors", "_crash_points", "_leftovers", "_sniffing", "_text"},
    {"_logs", "_notebook", "_policy", "_records", "_secrets", "_shield"},
    {"_record_parsing", "_requests"},
    {"_outcomes"},
    {"_events", "_ledger", "_scheduling", "_transport", "_downloads"},
    {"webhooks"},
    {"_account"},
    {"_batch", "_calls", "_options"},
    {"_connection"},
    {"_client_uploads"},
    {"_scheduler"},
    {"_client", "progress"},
    {"__init__"},
    {"simulator"},
    {"otel", "testing"},
    {"_cli", "_pytest_plugin"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    """The package's part that a module belongs to: a folder or a module of the top level."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not is_type_checking(node):
            yield node
            yield from runtime_nodes(node)


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Absolute names of what a module imports at run time."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    here = ["kinovi_async", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in runtime_nodes(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down_the_layers(path: Path) -> None:
    mine = part(path)
    assert mine in RANK, f"{mine} has no place in the layers"
    for name in imports(path):
        pieces = name.split(".")
        if pieces[0] != "kinovi_async" or len(pieces) == 1 or pieces[1] not in RANK:
            continue
        assert RANK[pieces[1]] <= RANK[mine], f"{path.name} imports upwards: {name}"


def test_every_layer_exists() -> None:
    assert {part(path) for path in MODULES} == set(RANK)


def test_httpx_is_imported_in_one_module() -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if any(name.split(".")[0] in {"httpx", "httpcore", "httpx2"} for name in imports(path))
    }
    # The second connects a client to an application in its own process, for tests.
    assert users == {"_transport/_http.py", "testing/_client.py"}


@pytest.mark.parametrize("library", ["asyncio", "trio", "requests", "aiohttp"])
def test_only_servers_and_the_command_know_an_event_loop(library: str) -> None:
    users = {
        part(path)
        for path in MODULES
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users <= ({"simulator"} if library == "asyncio" else set())


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_is_a_god_module(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 420


def test_importing_the_package_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys; before = set(sys.modules); import kinovi_async; "
        "print([m for m in ('httpx', 'pydantic', 'anyio', 'sqlite3', 'asyncio', 'typer')"
        " if m in set(sys.modules) - before])"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_imported_and_is_listed() -> None:
    for name in kinovi_async.__all__:
        assert getattr(kinovi_async, name) is not None
    assert set(kinovi_async.__all__) <= set(dir(kinovi_async))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = kinovi_async.Nonsense
