"""What to do about a failed task: whether to run it again, and what to change."""

from __future__ import annotations

import pytest

from kinovi_async._requests import MODELS, Advice, FailureGroup, advice
from kinovi_async._requests._failures import FAILURES

G = FailureGroup


@pytest.mark.parametrize(
    ("code", "message", "group", "retryable"),
    [
        ("500", "The service is temporarily unavailable, try later", G.CAPACITY, True),
        ("1001", "Temporarily Unavailable", G.CAPACITY, True),
        ("500", "ServiceUnavailable: too many requests", G.CAPACITY, True),
        ("500", "Generation failed. Please try again", G.CAPACITY, True),
        ("500", "The image violates our community guidelines", G.CHANCE, True),
        ("1001", "The request is invalid for video extension", G.CHANCE, True),
        ("2038", "Your prompt breaks the rules, please try again", G.PROMPT, False),
        ("banned_prompt_words", "Banned word: x", G.PROMPT, False),
        ("4011", "anything", G.UNKNOWN, False),
        ("500", "Request blocked by moderation, please try again", G.RESULT, False),
        ("500", "FaceDetectionSuspect", G.RESULT, False),
        ("1001", "The output did not pass review", G.RESULT, False),
        ("1001", "Possible copyright issue", G.RESULT, False),
        ("500", "Possible copyright issue", G.MEDIA, False),
        ("1001", "The input has sensitive content", G.MEDIA, False),
        ("500", "The uploaded image violates the policy", G.MEDIA, False),
        ("asset_review_failed", "Reference image 2 failed review", G.REFERENCE, False),
        ("500", "Failed to download the reference video", G.REFERENCE, False),
        ("InvalidParameter", "Failed to download the media", G.REFERENCE, False),
        ("InvalidParameter", "Green net could not read it", G.REFERENCE, False),
        ("InvalidParameter", "The resolution is too low", G.LIMITS, False),
        ("InvalidParameter", "audio total duration must be", G.LIMITS, False),
        ("InvalidParameter", "Audio cannot be alone", G.LIMITS, False),
        ("1001", "The source is invalid for video editing", G.LIMITS, False),
        ("1001", "Something nobody wrote down", G.UNKNOWN, False),
        (None, "The service is temporarily unavailable", G.CAPACITY, True),
        (None, "", G.UNKNOWN, False),
        ("9999", "temporarily unavailable", G.CAPACITY, True),
    ],
)
def test_the_message_decides_unless_the_code_says_it_alone(
    code: str | None, message: str, group: FailureGroup, *, retryable: bool
) -> None:
    found = advice(code, message)
    assert (found.group, found.retryable) == (group, retryable)
    assert found.text
    assert not found.text.endswith(".")


def test_every_failure_of_a_model_is_found_by_its_own_words() -> None:
    named = [failure for model in MODELS.values() for failure in model.failures]
    assert set(named) == set(FAILURES)
    for failure in named:
        assert advice(failure.code, f"Error: {failure.match or 'x'}!") == failure.advice


def test_advice_is_a_value() -> None:
    assert advice("2038", "x") == Advice(G.PROMPT, advice("2038", "y").text, retryable=False)
