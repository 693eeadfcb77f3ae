"""The report as one HTML file: the template with the view in it, and a policy around it.

The page needs nobody: style and script stand in it and are allowed by their hashes alone,
pictures come from the folder beside it, everything else is forbidden. What the script
shows stands in the page as JSON that no prompt can break out of; texts become text nodes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

from ..._errors import ConfigurationError
from .._text import counted, dollars, duration, number
from ._timeline import Timeline

if TYPE_CHECKING:
    from ._view import Item, Report

MISSING_EXTRA = "the report needs one more package: pip install 'kinovi-async[report]'"

SCRIPT_PARTS = ("basics", "picks", "selection", "gallery", "viewer", "timeline", "start")
"""Files of `page/script`, in the order in which they are put together."""
# In JSON these stand only in strings, where an escape means the same.
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_TIME = 3
"""Digits of seconds behind the point."""


class _Template(Protocol):
    def render(self, **names: object) -> str: ...


def check_extra() -> None:
    """Tells whether pages can be made.

    Raises:
        ConfigurationError: jinja2 is not installed; the message says how to get it.
    """
    _template()


def page(report: Report) -> str:
    """The report as HTML.

    Raises:
        ConfigurationError: jinja2 is not installed.
    """
    style, script = _asset("report.css"), _script()
    policy = "; ".join(
        (
            "default-src 'none'",
            # For Chromium a page opened from disk is 'self', for others it is not.
            "img-src 'self' file:",
            "media-src 'self' file:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return _template().render(
        report=report,
        policy=policy,
        style=style,
        script=script,
        data=as_json(payload(report)),
        as_of=as_of(report.at),
        shown=shown_jobs,
        rates=rates_text(report),
    )


def shown_jobs(report: Report, jobs: Sequence[int], most: int = 8) -> tuple[list[str], int]:
    """The ids of the first jobs of a group, and how many more there are."""
    ids = [report.items[position].id for position in jobs[:most]]
    return ids, len(jobs) - len(ids)


def rates_text(report: Report) -> str:
    """What credits are worth here: `One credit counts as $0.005.` or the like."""
    rates = sorted({item.usd for item in report.items}, reverse=True)
    told = " or ".join(f"${rate.normalize():f}" for rate in rates)
    return f"One credit counts as {told}{', by model' if len(rates) > 1 else ''}."


def as_of(at: datetime) -> str:
    """`21 Nov 2026, 10:49 UTC`."""
    return f"{at.day} {at:%b %Y, %H:%M} {at:%Z}".rstrip()


def payload(report: Report) -> dict[str, object]:
    """What the script works with; short names, because they stand there for each job."""
    models = list(dict.fromkeys(item.model for item in report.items))
    places = {model: place for place, model in enumerate(models)}
    rates = sorted({item.usd for item in report.items}, reverse=True)
    return {
        "name": report.name,
        "book": report.book,
        "rates": list(map(float, rates)),
        "models": models,
        "reasons": [
            {
                "title": group.title,
                "advice": group.reason.advice,
                "status": group.reason.status,
            }
            for group in report.reasons
        ],
        "jobs": [_job(item, places[item.model], rates.index(item.usd)) for item in report.items],
        "timeline": _timeline(report.timeline),
    }


def as_json(value: object) -> str:
    """JSON that may stand in a script element, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Half a character cannot be written; JSON can say it.
    text = text.encode("utf-8", "backslashreplace").decode()
    return text.translate(_ESCAPES)


def _job(item: Item, model: int, rate: int) -> dict[str, object]:
    found: dict[str, object | None] = {
        "id": item.id,
        "s": item.status,
        "m": model,
        "p": item.prompt or None,
        "cut": item.cut or None,
        "f": item.glance or None,
        "v": [list(pair) for pair in item.parameters] or None,
        "g": dict(item.tags) or None,
        "n": item.line,
        "t": item.task_id,
        "c": _plain(item.credits),
        "cm": _plain(item.at_most) or None,
        "cr": rate or None,
        "o": [_file(each) for each in _numbered(item)] or None,
        "x": item.expires,
        "r": item.reason,
        "e": item.message or None,
        "a": item.attempts,
        "at": _rounded(item.created),
        "tw": _rounded(item.waited),
        "tg": _rounded(item.generating),
        "tu": _rounded(item.unseen),
    }
    return {name: value for name, value in found.items() if value is not None}


def _numbered(item: Item) -> Sequence[Mapping[str, object | None]]:
    return [
        {
            "u": media.address,
            "k": media.kind,
            "w": media.width,
            "h": media.height,
            "file": media.file,
        }
        for media in item.media
    ]


def _file(media: Mapping[str, object | None]) -> dict[str, object]:
    found = {name: value for name, value in media.items() if value is not None}
    if found.get("file") == found.get("u"):  # nothing in it had to be escaped
        found.pop("file", None)
    return found


def _timeline(line: Timeline) -> dict[str, object]:
    return {
        "slots": line.slots,
        "length": _rounded(line.length),
        "bars": [
            [bar.job, bar.slot, _rounded(bar.start), _rounded(bar.done), _rounded(bar.end)]
            for bar in line.bars
        ],
        "stretches": [[_rounded(s.start), _rounded(s.length), s.at] for s in line.stretches],
        "waiting": [[_rounded(place), count] for place, count in line.waiting],
    }


def _plain(amount: Decimal | None) -> int | float | None:
    if amount is None or not amount.is_finite():
        return None
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, _TIME)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@cache
def _asset(name: str) -> str:
    text = files(__package__).joinpath("page", name).read_text("utf-8")
    # A browser hashes what it parsed, where every line end is one character.
    text = text.replace("\r\n", "\n")
    if "</s" in text:
        raise AssertionError(f"{name} would end its own element")
    return text


@cache
def _script() -> str:
    """The parts as one function: they share names, and the page gets none of them."""
    parts = "\n".join(_asset(f"script/{part}.js") for part in SCRIPT_PARTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


@cache
def _template() -> _Template:
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ModuleNotFoundError as error:
        if error.name not in {"jinja2", "markupsafe"}:
            raise
        raise ConfigurationError(MISSING_EXTRA) from None
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["credits"] = number
    environment.filters["dollars"] = lambda amount: dollars(amount, Decimal(1))
    environment.filters["duration"] = duration
    # Commands in a sentence stand between backquotes.
    environment.filters["coded"] = lambda text: Markup().join(
        Markup("<code>{}</code>").format(part) if place % 2 else part
        for place, part in enumerate(text.split("`"))
    )
    environment.filters["percent"] = lambda share: f"{share:.0%}"
    environment.globals["counted"] = counted
    text = files(__package__).joinpath("page", "report.html.jinja").read_text("utf-8")
    return environment.from_string(text)
