"""Every rule holds for every ledger: tests that take `ledger` run over both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kinovi_async._ledger import Ledger, MemoryLedger, SQLiteLedger


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    made: Ledger = (
        MemoryLedger() if request.param == "memory" else SQLiteLedger(tmp_path / "ledger.sqlite3")
    )
    await made.open()
    try:
        yield made
    finally:
        await made.aclose()
