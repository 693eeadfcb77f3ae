"""What a wish cost: the server's book of tasks against what its user holds in the end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean

from .faults import Column
from .work import Wish


@dataclass(frozen=True, kw_only=True)
class Bill:
    """One wish, by the server's book."""

    prompt: str
    paid: int
    """Tasks that were created, and paid for."""
    delivered: int
    """Of them, those whose result the call gave to its user: at most 1."""
    known: int
    """Of the others, those that are not lost: the error names the task or an idempotency
    key under which the server finds it, or a durable record counts it as perhaps paid."""

    @property
    def lost(self) -> int:
        """Paid for, and nobody knows of it."""
        return self.paid - self.delivered - self.known


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The wishes of one client that met one fault; all figures are means per wish."""

    paid: float
    delivered: float
    known: float
    lost: float
    errors: tuple[str, ...]
    """What the wishes' errors said, each once, shortened."""

    def __str__(self) -> str:
        star = "*" if self.known else ""
        return f"{_short(self.paid)} / {_short(self.lost)}{star}"

    def to_json(self) -> dict[str, object]:
        """Everything."""
        return asdict(self)


def bill(wish: Wish, tasks: Collection[str], keys: Mapping[str, str]) -> Bill:
    """What a wish came to.

    Args:
        wish: what its user holds.
        tasks: ids of the tasks that the server made of it.
        keys: idempotency keys that the server knows, each with its task.
    """
    delivered = {task for task in tasks if wish.result is not None and task in wish.result}
    names = {task: {task, *(key for key, made in keys.items() if made == task)} for task in tasks}
    told = {task for task in tasks if any(name in wish.told for name in names[task])}
    known = min(max(len(told - delivered), wish.kept), len(tasks) - len(delivered))
    return Bill(prompt=wish.prompt, paid=len(tasks), delivered=len(delivered), known=known)


def cell(bills: list[Bill], wishes: Iterable[Wish]) -> Cell:
    """The means of one cell."""
    errors = dict.fromkeys(wish.told[:200] for wish in wishes if wish.told)
    return Cell(
        paid=fmean(each.paid for each in bills),
        delivered=fmean(each.delivered for each in bills),
        known=fmean(each.known for each in bills),
        lost=fmean(each.lost for each in bills),
        errors=tuple(errors),
    )


def broken_promises(name: str, cells: Mapping[tuple[Column, str], Cell]) -> list[str]:
    """What this project promises and did not keep; empty when all is well."""
    found = []
    for (column, spell), each in cells.items():
        # The documented "internal error, retry", unless it is held: two more tries.
        tries = 1 if column.name != "500" or "hold" in name else 2 if spell == "once" else 3
        where = f"{name}, {column.title}, {spell}"
        if not 1 <= each.paid <= tries:
            found.append(f"{where}: {each.paid:g} tasks paid per wish, at most {tries} expected")
        if each.lost:
            found.append(f"{where}: {each.lost:g} paid results lost per wish")
        if column.polls and each.delivered != 1:
            found.append(f"{where}: {each.delivered:g} results delivered per wish")
    return found


def naive_is_caught(name: str, cells: Mapping[tuple[Column, str], Cell]) -> list[str]:
    """Where a loop that retries everything paid only once: then the lab does not work."""
    return [
        f"{name}, {column.title}, {spell}: paid {each.paid:g} per wish, more expected"
        for (column, spell), each in cells.items()
        if not column.polls and each.paid <= 1
    ]


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
