"""What the command's tests share: the vocabulary, and batch files by their bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kinovi_async._cli._csv import TableOptions
from kinovi_async._cli._input import read_batch
from kinovi_async._cli._lines import Batch
from kinovi_async._cli._vocabulary import Vocabulary, kinovi_vocabulary

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
