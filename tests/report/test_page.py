"""The page: one file, closed to everything, that no text can break out of."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._cli._report._page import SCRIPT_PARTS, as_json, page, payload
from kinovi_async._cli._report._view import report
from kinovi_async._ledger import JobRow

from .outs import FAILURES, HOSTILE, NOW, expired, failed, rejected, row


def html_of(*rows: JobRow, **more: object) -> str:
    made = report(rows, name="out", at=NOW, exists=lambda _: True, **more)  # type: ignore[arg-type]
    return page(made)


class Seen(HTMLParser):
    """The elements of a page, and the text in them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self._open[-1] if self._open else "", []).append(data)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass


def policy_of(text: str) -> dict[str, str]:
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert found is not None
    parts = (part.strip().partition(" ") for part in unescape(found[1]).split(";"))
    return {name: value for name, _, value in parts}


def test_the_policy_forbids_everything_but_the_page_and_its_pictures() -> None:
    text = html_of(row("a", files=["media/a.png"]))
    policy = policy_of(text)
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == policy["media-src"] == "'self' file:"
    assert set(policy) == {
        "default-src", "img-src", "media-src", "style-src", "script-src", "base-uri", "form-action",
    }  # fmt: skip
    assert "unsafe" not in str(policy)
    for tag, name in (("script", "script-src"), ("style", "style-src")):
        source = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(source) == 1
        digest = base64.b64encode(hashlib.sha256(source[0].encode()).digest()).decode()
        assert policy[name] == f"'sha256-{digest}'"
    # The policy is the first thing after the encoding.
    assert re.match(r'<!doctype html>\s*<html lang="en">\s*<head>\s*<meta charset="utf-8">\s*<meta'
                    r' http-equiv="Content-Security-Policy"', text)  # fmt: skip


def test_the_page_points_nowhere() -> None:
    urls = [f"https://cdn.example.com/{text}.png?sig=1" for text in ("a", "javascript:x")]
    text = html_of(row("a", outputs=[{"url": url} for url in urls], inputs={"imageUrls": urls}))
    for tag, attributes in Seen(text).tags:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, name, value)
    assert not re.search(r"@import|url\(", text)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_stay_texts(text: str) -> None:
    plain = Seen(html_of(row("a", files=["media/a.png"]), failed("b", 2)))
    error = {"code": text[:50], "message": text}
    rows = (
        row(text, prompt=text, model=text, tags={text: text}, inputs={text: text},
            files=["media/a.png"]),
        failed("b", 2, error),
    )  # fmt: skip
    hostile = Seen(html_of(*rows))
    scripts = [attributes for tag, attributes in hostile.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    assert {tag for tag, _ in hostile.tags} <= {tag for tag, _ in plain.tags} | {"q", "ul"}
    (data,) = (part for part in hostile.text["script"] if part.startswith("{"))
    jobs = json.loads(data)["jobs"]
    assert len(jobs) == 2
    if text.isprintable():
        assert jobs[0]["p"] == text


def test_a_template_s_own_language_in_a_prompt_is_a_text() -> None:
    text = html_of(failed("a", 1, {"message": "{{ 7 * 7 }} {% include 'x' %}"}))
    assert "{{ 7 * 7 }}" in text


def test_half_a_character_is_written_all_the_same() -> None:
    text = html_of(row("\ud800", prompt="\udfff x", tags={"t\ud800": "\ud800"}))
    text.encode()


@settings(max_examples=40)
@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_in_a_script_element_ends_nothing_and_reads_the_same(value: object) -> None:
    text = as_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_dollars_lose_nothing_and_stand_point_below_point() -> None:
    amounts = [Decimal(n) for n in (1, 569, 1_000_000)]
    text = html_of(*(row(f"j{n}", number=n, model=f"m{n}", credits=amount)
                     for n, amount in enumerate(amounts)))  # fmt: skip
    cells = [cell.strip() for cell in Seen(text).text["td"]]
    assert [cell for cell in cells if cell.startswith("$")] == [
        "$5,000.000", "$2.845", "$0.005", "$5,002.850",
    ]  # fmt: skip


def test_dollars_are_those_of_the_generation_and_the_model() -> None:
    later = {"options": {"api_generation": "2026-09"}}
    one = row("a", number=1, credits=Decimal(100))
    two = row("b", number=2, credits=Decimal(100))
    # Known to today's API only, whatever the run was told.
    three = row("c", number=3, credits=Decimal(100), model="seedream-5.0-pro")
    made = report([one, replace(two, meta={**two.meta, **later}), three], name="out", at=NOW,
                  exists=lambda _: True)  # fmt: skip
    assert made.total.dollars == Decimal("0.5") + 2 * Decimal("0.47")
    shown: Any = payload(made)
    assert shown["rates"] == [0.005, 0.0047]
    assert [job.get("cr", 0) for job in shown["jobs"]] == [0, 1, 1]
    assert "One credit counts as $0.005 or $0.0047, by model." in page(made)


def test_a_run_that_goes_on_is_told_with_the_time() -> None:
    assert "Run in progress" in html_of(row("a"), live=True)
    assert "as of 18 Nov 2026, 12:06 UTC" in html_of(row("a"), live=True)
    assert "Run in progress" not in html_of(row("a"))


def test_an_empty_run_is_told() -> None:
    assert "No jobs yet" in html_of()
    assert "nothing was paid" in html_of(row("a"), simulated=True)


def test_failures_and_costs_come_before_the_pictures() -> None:
    text = html_of(row("a"), failed("b", 2))
    places = [text.index(f'id="{name}"') for name in ("failures", "costs", "pictures", "timeline")]
    assert places == sorted(places)


def test_costs_and_failures_need_no_script() -> None:
    seen = Seen(html_of(row("a", tags={"client": "Acme"}), failed("b", 2)))
    assert "Acme" in seen.text["bdi"]
    assert any("The prompt was refused" in text for text in seen.text["span"])


def test_how_to_run_them_again_is_told_once() -> None:
    text = html_of(failed("a", 1), failed("b", 2, FAILURES[1]))
    assert text.count("--rerun failed</code>") == 1
    assert "--rerun failed,rejected</code>" in html_of(failed("a", 1), rejected("b", 2))
    assert "--rerun" not in html_of(row("a"), expired("b", 2))


def test_the_payload_of_a_job_names_only_what_is_there() -> None:
    made = report([row("a", outputs=[], took=0.0, unseen=0.0, queued=5.0)], name="o", at=NOW,
                  exists=lambda _: True)  # fmt: skip
    jobs: Any = payload(made)["jobs"]
    assert set(jobs[0]) == {"id", "s", "m", "p", "n", "t", "c", "a", "at", "tw", "tg", "tu"}


def test_the_assets_are_part_of_the_package() -> None:
    import kinovi_async._cli._report as package

    folder = Path(package.__file__).parent / "page"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    scripts = {f"script/{part}.js" for part in SCRIPT_PARTS}
    assert names == {"report.css", "report.html.jinja", *scripts}
