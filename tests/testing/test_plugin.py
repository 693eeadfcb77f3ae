"""The pytest plugin, in a pytest of its own: with any kind of test, and at no cost unused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = "kinovi_async._pytest_plugin"
# Where the package is installed, pytest finds the plugin by itself.
LOADED = [] if entry_points(group="pytest11", name="kinovi") else ["-p", MODULE]


def run_pytest(directory: Path, *options: str) -> str:
    """The output of a run in which everything passes; warnings are errors."""
    if not (directory / "pytest.ini").exists():  # or a configuration further up would count
        (directory / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(  # noqa: S603
        [*command, *LOADED, *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=directory,
        env={key: value for key, value in os.environ.items() if not key.startswith("KINOVI")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_suite_passes(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "examples" / "testing",
        tmp_path / "app",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    assert "11 passed" in run_pytest(tmp_path / "app")


SUITE = """
import asyncio
import os

import pytest
import trio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from kinovi_async import AsyncKinovi, NanoBanana2

CAT = NanoBanana2(prompt="a red cat")


def test_on_asyncio_without_a_plugin(kinovi_client, kinovi_simulator):
    asyncio.run(kinovi_client.generate(CAT))
    assert kinovi_simulator.books.spent == 15


def test_on_trio_without_a_plugin(kinovi_client, kinovi_simulator):
    trio.run(kinovi_client.generate, CAT)
    assert kinovi_simulator.books.spent == 15


def test_requests_that_have_an_event_loop_each_take_a_client_each(kinovi_simulator):
    app = Starlette(routes=[Route("/", picture(lambda: kinovi_simulator.client()))])
    web = TestClient(app)
    assert [web.get("/").text for _ in range(2)] == ["succeeded"] * 2


def picture(get_client):
    async def handler(request):
        [outcome] = await get_client().run_batch([CAT])
        return PlainTextResponse(outcome.status)

    return handler


def test_every_test_has_a_simulator_of_its_own(kinovi_simulator):
    assert kinovi_simulator.books.spent == 0


def test_a_hundred_generations(kinovi_client, kinovi_simulator):
    async def generate():
        return await kinovi_client.run_batch([CAT] * 100)

    assert all(outcome.ok for outcome in asyncio.run(generate()))
    assert kinovi_simulator.books.spent == 1500


@pytest.mark.parametrize("number", range(3))
def test_a_client_of_the_environment(kinovi_server, number):
    async def generate():
        async with AsyncKinovi() as client:
            await client.generate(CAT)

    assert os.environ["KINOVI_BASE_URL"] == kinovi_server.base_url
    asyncio.run(generate())
    assert kinovi_server.simulator.books.spent == 15


def test_the_environment_is_as_it_was():
    assert not [name for name in os.environ if name.startswith("KINOVI")]


class TestWithAnotherAccount:
    @pytest.fixture
    def kinovi_simulator(self):
        from kinovi_async.testing import InstantSimulator

        return InstantSimulator(limit=1, credits=15)

    def test_a_fixture_of_the_same_name_takes_its_place(self, kinovi_client, kinovi_simulator):
        asyncio.run(kinovi_client.generate(CAT))
        assert kinovi_simulator.credits == 0
"""


def test_the_fixtures_need_no_plugin_for_coroutines(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SUITE)
    assert "10 passed" in run_pytest(tmp_path, "-p", "no:anyio")


def test_an_unused_plugin_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n\ndef test_it(request):\n"
        "    assert {'kinovi_async', 'kinovi_async._pytest_plugin'} == {\n"
        "        name for name in sys.modules if name.partition('.')[0] == 'kinovi_async'\n"
        "    } - {'kinovi_async._version'}\n"
        "    assert not {'httpx', 'pydantic', 'anyio', 'starlette', 'PIL'} & set(sys.modules)\n"
    )
    assert "1 passed" in run_pytest(tmp_path, "-p", "no:anyio")


def test_the_plugin_is_declared_as_an_entry_point() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'[project.entry-points.pytest11]\nkinovi = "{MODULE}"\n' in text
    for entry in entry_points(group="pytest11", name="kinovi"):
        assert entry.value == MODULE


@pytest.mark.parametrize("fixture", ["kinovi_simulator", "kinovi_client", "kinovi_server"])
def test_the_manual_tells_of_every_fixture(fixture: str) -> None:
    manual = ROOT / "docs" / "testing.md"
    if not manual.exists():
        pytest.skip("the manual is not here")
    assert f"`{fixture}`" in manual.read_text("utf-8")
