"""The application's own database: who ordered what, what it may cost, and how it stands.

It is kept beside the ledger and brought up to date from it by `ended`, which moves the cursor
in the same transaction: an outcome that is told twice changes nothing, and none is missed.
A SQLite file here; with another database only this module changes.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import anyio.to_thread

from kinovi_async import Outcome

T = TypeVar("T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS customers (
    id TEXT PRIMARY KEY, plan TEXT NOT NULL, seen_at REAL
);
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    customer TEXT NOT NULL,
    prompt TEXT NOT NULL,
    aspect_ratio TEXT NOT NULL,
    priority INTEGER NOT NULL,
    cost REAL NOT NULL,
    status TEXT NOT NULL,
    created_at REAL NOT NULL,
    accepted_at REAL,
    url TEXT,
    media_type TEXT,
    error TEXT
);
CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (customer, number);
CREATE INDEX IF NOT EXISTS orders_by_status ON orders (status);
CREATE TABLE IF NOT EXISTS cursor (seq INTEGER NOT NULL);
INSERT INTO cursor SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM cursor);
"""
UNFINISHED = ("queued", "generating")
FREE = ("failed", "rejected", "cancelled")
"""What ended like this costs the customer nothing."""


class OverBudgetError(Exception):
    """The customer's plan does not cover this order."""


@dataclass(frozen=True, slots=True)
class Order:
    """One picture that a customer ordered; its id is the job's key in the ledger."""

    id: str
    customer: str
    prompt: str
    aspect_ratio: str
    priority: int
    cost: float
    status: str = "queued"
    created_at: float = 0.0
    accepted_at: float | None = None
    url: str | None = None
    media_type: str | None = None
    error: str | None = None


_COLUMNS = ", ".join(Order.__slots__)
_VALUES = ", ".join(f":{name}" for name in Order.__slots__)


class Orders:
    """The orders of all customers; used by every process of the application."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            path, timeout=30, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        with self._writing():
            for statement in SCHEMA.split(";"):
                self._connection.execute(statement)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    async def _run(self, work: Callable[[], T]) -> T:
        """In a thread: the event loop waits for no disk and for no other process."""

        def locked() -> T:
            with self._lock:
                return work()

        return await anyio.to_thread.run_sync(locked)

    async def _write(self, sql: str, *values: object) -> list[tuple[str]]:
        """One statement; the first column of what it returns."""
        return await self._run(lambda: self._connection.execute(sql, values).fetchall())

    def _orders(self, where: str, *values: object) -> list[Order]:
        sql = f"SELECT {_COLUMNS} FROM orders WHERE {where}"  # noqa: S608 - no user's text
        return [Order(*row) for row in self._connection.execute(sql, values)]

    # -- customers -------------------------------------------------------------------------

    async def plan(self, customer: str, *, default: str) -> str:
        """The plan of a customer."""
        found = await self._write("SELECT plan FROM customers WHERE id = ?", customer)
        return found[0][0] if found else default

    async def choose_plan(self, customer: str, plan: str) -> None:
        """What a payment provider would tell."""
        await self._write(
            "INSERT INTO customers (id, plan) VALUES (?, ?) "
            "ON CONFLICT (id) DO UPDATE SET plan = excluded.plan",
            customer,
            plan,
        )

    async def seen(self, customer: str, plan: str) -> None:
        """A page of this customer is open."""
        await self._write(
            "INSERT INTO customers (id, plan, seen_at) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
            customer,
            plan,
            time.time(),
        )

    async def forgive(self) -> None:
        """The application was away: nobody could show that their page is open."""
        await self._write("UPDATE customers SET seen_at = ? WHERE seen_at IS NOT NULL", time.time())

    async def left_alone(self, patience: float) -> list[str]:
        """Queued orders of customers whose page was open once, and is closed since then."""
        found = await self._write(
            "SELECT orders.id FROM orders JOIN customers ON customers.id = orders.customer "
            "WHERE status = 'queued' AND seen_at < ?",
            time.time() - patience,
        )
        return [key for (key,) in found]

    # -- orders ----------------------------------------------------------------------------

    async def place(self, order: Order, *, budget: float) -> tuple[Order, bool]:
        """Enters an order unless its id is known; the order as it stands, and whether it is new.

        Raises:
            OverBudgetError: the customer has not that much left.
        """

        def work() -> tuple[Order, bool]:
            with self._writing():
                if known := self._orders("id = ?", order.id):
                    return known[0], False
                if self._spent(order.customer) + order.cost > budget:
                    raise OverBudgetError
                placed = asdict(order) | {"created_at": time.time()}
                self._connection.execute(
                    f"INSERT INTO orders ({_COLUMNS}) VALUES ({_VALUES})",  # noqa: S608 - as above
                    placed,
                )
                return Order(**placed), True

        return await self._run(work)

    async def drop(self, key: str) -> None:
        """The order could not be taken after all."""
        await self._write("DELETE FROM orders WHERE id = ?", key)

    async def accepted(self, key: str) -> str | None:
        """The picture is being made and paid for; answers the customer."""
        found = await self._write(
            "UPDATE orders SET status = 'generating', accepted_at = ? "
            "WHERE id = ? AND status = 'queued' RETURNING customer",
            time.time(),
            key,
        )
        return found[0][0] if found else None

    async def ended(self, outcome: Outcome) -> str | None:
        """Takes over how a job ended, and how far the ledger has been read."""
        output = outcome.record.outputs[0] if outcome.ok and outcome.record else None
        error = None if outcome.error is None else outcome.error.message

        def work() -> str | None:
            with self._writing():
                found = self._connection.execute(
                    "UPDATE orders SET status = ?, cost = coalesce(?, cost), url = ?, "
                    "media_type = ?, error = ? WHERE id = ? RETURNING customer",
                    (
                        str(outcome.status),
                        None if outcome.credits is None else float(outcome.credits),
                        output and output.url,
                        output and output.media_type,
                        error,
                        outcome.key,
                    ),
                ).fetchall()
                self._connection.execute("UPDATE cursor SET seq = max(seq, ?)", (outcome.seq,))
                return found[0][0] if found else None

        return await self._run(work)

    async def cursor(self) -> int:
        """The `seq` of the last outcome that was taken over."""
        return int((await self._write("SELECT seq FROM cursor"))[0][0])

    async def get(self, key: str, customer: str) -> Order | None:
        """An order, if it is this customer's."""
        found = await self._run(lambda: self._orders("id = ? AND customer = ?", key, customer))
        return found[0] if found else None

    async def recent(self, customer: str, limit: int = 60) -> list[Order]:
        """The last orders of a customer, the oldest first."""
        where = "customer = ? ORDER BY number DESC LIMIT ?"
        return (await self._run(lambda: self._orders(where, customer, limit)))[::-1]

    async def unfinished(self) -> list[Order]:
        """Everybody's orders that have not ended, in order."""
        where = "status IN (?, ?) ORDER BY number"
        return await self._run(lambda: self._orders(where, *UNFINISHED))

    async def spent(self, customer: str) -> float:
        """Credits that a customer has spent or reserved."""
        return await self._run(lambda: self._spent(customer))

    def _spent(self, customer: str) -> float:
        sql = "SELECT coalesce(sum(cost), 0) FROM orders WHERE customer = ? AND status NOT IN (?, ?, ?)"
        return float(self._connection.execute(sql, (customer, *FREE)).fetchone()[0])
