"""What the report says about an output directory."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinovi_async._cli._report._readable import unsigned, without_query
from kinovi_async._cli._report._view import (
    LIGHT,
    TEXT_LIMITS,
    Report,
    glance,
    is_inside,
    kind_of,
    report,
    text_limit,
)
from kinovi_async._ledger import JobRow, JobState
from kinovi_async._outcomes import Attempt, AttemptResult, OutcomeStatus
from kinovi_async._requests import advice

from .outs import FAILURES, NOW, START, ambiguous, expired, failed, rejected, row


def report_of(*rows: JobRow, there: bool = True, **more: object) -> Report:
    return report(rows, name="out", at=NOW, exists=lambda _: there, **more)  # type: ignore[arg-type]


def test_nothing_is_a_report_too() -> None:
    made = report_of()
    assert made.items == ()
    assert made.timeline.slots == 0
    assert made.total.jobs == 0


def test_jobs_stand_in_the_order_of_the_batch_file() -> None:
    rows = [row("later", number=3), row("first", number=1), row("second", number=2)]
    # A rerun gives a job a new number in the ledger, its line stays.
    rows[1] = replace(rows[1], number=99)
    assert [item.id for item in report_of(*rows).items] == ["first", "second", "later"]


def test_counts_money_and_tables_agree() -> None:
    made = report_of(
        row("a", number=1, tags={"client": "Acme"}, credits=Decimal("12.5")),
        row("b", number=2, model="midjourney-v8", credits=Decimal(12)),
        failed("c", 3, tags={"client": "Acme"}),
        expired("d", 4),
        ambiguous("e", 5),
    )
    assert made.counts == {"succeeded": 2, "failed": 1, "ambiguous": 1, "expired": 1}
    assert (made.total.credits, made.total.at_most) == (Decimal("24.5"), Decimal(215))
    by_model, by_client = made.tables
    assert {line.name: (line.jobs, line.credits) for line in by_model.lines} == {
        "nanobanana2": (4, Decimal("12.5")),
        "midjourney-v8": (1, Decimal(12)),
    }
    assert {line.name: (line.jobs, line.succeeded) for line in by_client.lines} == {
        "Acme": (2, 1),
        "(none)": (3, 1),
    }
    for table in made.tables:
        assert sum(line.credits for line in table.lines) == made.total.credits


def test_a_tag_of_a_thousand_values_is_a_table_of_a_few() -> None:
    made = report_of(*(row(f"j{n}", number=n, tags={"scene": str(n)}) for n in range(1, 101)))
    table = made.tables[1]
    assert len(table.lines) == 12
    assert table.rest is not None
    assert (table.rest.name, table.rest.jobs) == ("88 more", 88)


def test_the_tags_of_the_file_at_hand_win() -> None:
    made = report_of(row("a", tags={"client": "old"}), tags={"a": {"client": "new"}})
    assert made.items[0].tags == {"client": "new"}


def test_a_failed_job_costs_nothing_whatever_its_record_says() -> None:
    assert report_of(failed("a", 1, credits=Decimal(200))).items[0].credits == 0


# -- files -----------------------------------------------------------------------------


def test_files_that_are_there_are_shown_with_their_sizes() -> None:
    (item,) = report_of(row("a", files=["media/a 1.png", "media/a#2%.mp4"])).items
    assert [(m.address, m.kind, m.width, m.height) for m in item.media] == [
        ("media/a%201.png", "image", 64, 48),
        ("media/a%232%25.mp4", "video", 64, 48),
    ]
    assert item.expires is None


def test_files_that_are_missing_are_told_with_the_day_they_end() -> None:
    made = report_of(row("a", files=["media/a.png"], accepted=5.0, took=20.0), there=False)
    (item,) = made.items
    assert [media.file for media in item.media] == [None]
    assert item.expires == pytest.approx(START + 25 + 14 * 86_400)
    assert made.lacking == 1


def test_a_job_without_output_lacks_one() -> None:
    assert report_of(row("a", outputs=[])).lacking == 1


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "media/../x.png", "/etc/passwd", "ledger.sqlite3", "media", "media//x.png",
     "media\\..\\x.png", "media/..\\x.png", "javascript:alert(1)", "other/x.png", ""],
)  # fmt: skip
def test_files_outside_media_are_never_named(name: str) -> None:
    assert not is_inside(name)
    (item,) = report_of(row("a", files=[name], outputs=[])).items
    assert item.media == ()


def test_kinds_come_from_the_name() -> None:
    names = ("a.PNG", "b.mp4", "c.mp3", "d.html", "png")
    assert [kind_of(name) for name in names] == ["image", "video", "audio", "file", "file"]


# -- texts -----------------------------------------------------------------------------


def test_no_signature_reaches_the_report() -> None:
    made = report_of(
        row(
            "a",
            inputs={
                "imageUrls": ["https://x.example/a.png?sig=SECRET", "https://u:SECRET@x.example/b"],
                "lastFrame": "https://x.example/c.png#SECRET",
            },
        ),
        there=False,
    )
    assert "SECRET" not in repr(made)
    assert "https://x.example/a.png?…" in repr(made)


SIGNED = "https://s3.example.com/a.png?X-Amz-Signature=SECRET&X-Amz-Expires=9"


def test_no_signature_hides_in_a_text() -> None:
    error = {"code": "500", "message": f"cannot fetch {SIGNED}, sorry"}
    made = report_of(
        row("a", number=1, prompt=f"{SIGNED} as a watercolour", tags={"from": f"see {SIGNED}"},
            inputs={"note": f"like {SIGNED}", "deep": {"er": [SIGNED]}}),
        failed("b", 2, error),
        row("c", number=3, download_error=f"{SIGNED} answered 403"),
    )  # fmt: skip
    assert "SECRET" not in repr(made)
    assert made.items[0].prompt == "https://s3.example.com/a.png?… as a watercolour"


@pytest.mark.parametrize(
    "text", ["a cat", "see https://x.example/a/b.png, and 50% of http://y", "what? yes://", "://?"]
)
def test_texts_without_secrets_stay_as_they_are(text: str) -> None:
    assert unsigned(text) == text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.example/a?b=c", "https://x.example/a?…"),
        ("http://[::1", "an address that cannot be read"),
        ("https://x.example:99999/", "an address that cannot be read"),
        ("data:image/png;base64,AAAA" + "A" * 99, "data:image/png;base64,AAAA" + "A" * 14),
    ],
)
def test_addresses_are_shown_without_what_is_secret(url: str, shown: str) -> None:
    assert without_query(url) == shown


def test_control_characters_are_shown_and_line_ends_kept() -> None:
    (item,) = report_of(row("a\x1b[2J\u202eb", prompt="one\r\ntwo\x00\x1b]8;;x\x07")).items
    assert item.id == "a\\x1b[2J\\u202eb"
    assert item.prompt == "one\ntwo\\x00\\x1b]8;;x\\x07"


@given(st.text(), st.text(min_size=1), st.dictionaries(st.text(), st.text()))
def test_no_text_breaks_the_report(prompt: str, key: str, more: dict[str, str]) -> None:
    made = report_of(row(key, prompt=prompt, inputs=more, tags=dict(more), model=key))
    assert len(made.items) == 1


@pytest.mark.parametrize("prompt", [None, 7, ["a", "b"], {"text": "x"}, True])
def test_a_prompt_that_is_no_text_is_no_prompt(prompt: object) -> None:
    assert report_of(row("a", prompt=prompt)).items[0].prompt == ""


def test_long_prompts_are_whole_until_they_weigh_too_much() -> None:
    assert text_limit([10_000] * 100) == TEXT_LIMITS[0]
    assert text_limit([]) == TEXT_LIMITS[0]
    limit = text_limit([10_000] * 5_000)
    assert limit * 5_000 <= LIGHT
    assert text_limit([10**6] * 10**5) == TEXT_LIMITS[-1]
    (item,) = report_of(row("a", prompt="x" * 30_000)).items
    assert (len(item.prompt), item.cut) == (20_000, 10_000)


def test_the_glance_names_what_matters() -> None:
    assert glance({"duration": "5", "upscaleResolution": "4k", "seed": 3}) == "5 s · 4k"
    assert glance({"resolution": True, "duration": None}) == ""


# -- why jobs did not end well ---------------------------------------------------------


def test_failures_are_grouped_with_what_to_do() -> None:
    made = report_of(
        *(failed(f"p{n}", n, FAILURES[0]) for n in range(1, 4)),
        failed("busy", 5, FAILURES[1]),
        failed("seen", 6, FAILURES[2]),
        failed("odd", 7, FAILURES[3]),
        failed("odder", 8, {"code": "7001", "message": "Reference 9 of task_z is too odd: 1.2"}),
        rejected("no", 9),
        ambiguous("perhaps", 10),
        expired("slow", 11),
        row("lost", number=12, download_error="the host answered 503"),
    )
    told = {group.title: [made.items[job].id for job in group.jobs] for group in made.reasons}
    assert told == {
        "It may or may not have been accepted": ["perhaps"],
        "The prompt was refused": ["p1", "p2", "p3"],
        "Reference … of … is too odd: …": ["odd", "odder"],
        "The service was busy": ["busy"],
        "The result was blocked": ["seen"],
        "The server refused the request: Invalid inputs for model": ["no"],
        "Still running when we stopped waiting": ["slow"],
        "The job succeeded, but a file could not be fetched": ["lost"],
    }
    assert [len(group.jobs) for group in made.reasons][:3] == [1, 3, 2]
    assert all(group.reason.advice for group in made.reasons)
    todo = {group.title: group.reason.advice for group in made.reasons}
    assert "jobs resolve" in todo["It may or may not have been accepted"]
    assert todo["The service was busy"] == "Run it again: the service was busy"
    assert todo["The prompt was refused"] == "Change the prompt: it was moderated"
    assert made.items[0].reason == 1


@pytest.mark.parametrize("failure", FAILURES[:3])
def test_what_to_do_is_what_the_package_says_of_the_failure(failure: dict[str, str]) -> None:
    (group,) = report_of(failed("a", 1, failure)).reasons
    told = advice(failure["code"], failure["message"])
    assert group.reason.advice.lower() == told.text.lower()


def test_a_reason_that_all_were_told_alike_is_told_word_for_word() -> None:
    made = report_of(failed("a", 1, FAILURES[3]), failed("b", 2, FAILURES[3]))
    (group,) = made.reasons
    assert group.title == FAILURES[3]["message"]
    assert group.told == ()


@pytest.mark.parametrize(
    ("code", "title"),
    [(401, "The API key was refused"), (402, "Not enough credits"), (403, "The account may not")],
)
def test_refusals_of_the_account_are_told_as_such(code: int, title: str) -> None:
    error = {"type": "APIStatusError", "status_code": code, "message": "no"}
    made = report_of(row("a", status=OutcomeStatus.REJECTED, error=error))
    assert made.reasons[0].title.startswith(title)


@pytest.mark.parametrize("error", [None, {}, {"message": None}, {"code": 5, "message": "x" * 9999}])
def test_a_failure_without_a_reason_has_one_all_the_same(error: dict[str, object] | None) -> None:
    (group,) = report_of(row("a", status=OutcomeStatus.FAILED, error=error)).reasons
    assert group.title
    assert len(group.title) <= 400


def test_what_was_never_submitted_needs_no_attention() -> None:
    cancelled = row("a", status=OutcomeStatus.CANCELLED, accepted=None)
    queued = row("b", number=2, status=None, state=JobState.QUEUED)
    made = report_of(cancelled, queued)
    assert made.reasons == ()
    assert made.counts == {"cancelled": 1, "queued": 1}
    sent = replace(cancelled, attempts=(Attempt(1, START, AttemptResult.SERVER_ERROR),))
    assert len(report_of(sent).reasons) == 1


def test_a_damaged_record_is_passed_over() -> None:
    (item,) = report_of(row("a", record={"nothing": "here"})).items
    assert item.media == ()
    assert item.generating is not None


def test_two_output_directories_do_not_share_picks() -> None:
    assert report_of(row("a")).book == report_of(row("a"), row("b", number=2, queued=9)).book
    assert report_of(row("a")).book != report_of(row("a", queued=1)).book
