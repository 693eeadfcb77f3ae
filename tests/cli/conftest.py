"""What the command's tests share: the vocabulary, and batch files by their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from kinovi_async._cli._csv import TableOptions
from kinovi_async._cli._entry import run_app
from kinovi_async._cli._input import read_batch
from kinovi_async._cli._lines import Batch
from kinovi_async._cli._vocabulary import Vocabulary, kinovi_vocabulary
from kinovi_async.simulator import RunningSimulator, Simulator, serve

from .runs import KEY, Kinovi, Ran, Serve

ReadFile = Callable[..., Batch]


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return kinovi_vocabulary()


@pytest.fixture
def read(tmp_path: Path, vocabulary: Vocabulary) -> ReadFile:
    """Reads the bytes of a batch file: `read(data, ".csv", tags=("scene",))`."""

    def read_bytes(
        data: bytes,
        suffix: str = ".jsonl",
        *,
        tags: tuple[str, ...] = (),
        id_column: str | None = None,
        model: str | None = None,
        first: int | None = None,
    ) -> Batch:
        path = tmp_path / f"batch{suffix}"
        path.write_bytes(data)
        options = TableOptions(tags=tags, id_column=id_column, model=model)
        return read_batch(str(path), vocabulary, options, first=first)

    return read_bytes


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serves a simulator, and points the environment at it."""
    with start_blocking_portal() as portal:
        managers = []

        def start_one(simulator: Simulator) -> RunningSimulator:
            manager = portal.wrap_async_context_manager(serve(simulator))
            running = manager.__enter__()
            managers.append(manager)
            monkeypatch.setenv("KINOVI_BASE_URL", running.base_url)
            monkeypatch.setenv("KINOVI_API_KEY", KEY)
            return running

        yield start_one
        for manager in managers:
            manager.__exit__(None, None, None)


@pytest.fixture
def kinovi(capsys: pytest.CaptureFixture[str]) -> Kinovi:
    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run_app([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert KEY not in captured.out + captured.err
        return Ran(int(code), captured.out, captured.err)

    return call
