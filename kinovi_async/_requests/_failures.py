"""Why tasks fail, and what to change before one runs again: one table for all models.

The API's catch-all codes (500, 1001) cover moderation and capacity alike, so that the
message decides wherever it says anything; the codes and key words are those of the
model pages. Failed tasks are refunded: running one again pays once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FailureGroup(StrEnum):
    """What a failure asks of the user."""

    CAPACITY = "capacity"
    """Nothing: the same request may run again."""
    CHANCE = "chance"
    """The same request may come out another way."""
    PROMPT = "prompt"
    """Another prompt."""
    MEDIA = "media"
    """Other reference media."""
    RESULT = "result"
    """Another prompt or other references: the result was moderated."""
    REFERENCE = "reference"
    """Another address, or a file stored elsewhere: it could not be fetched or read."""
    LIMITS = "limits"
    """Shorter, larger or fewer references."""
    UNKNOWN = "unknown"
    """The documents do not know this failure."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about a failed task."""

    group: FailureGroup
    text: str
    """What to change, as a short imperative sentence without a full stop."""
    retryable: bool
    """Whether the same request may well succeed when it is run again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure the documents name."""

    group: FailureGroup
    code: str
    """`error.code` of the record."""
    match: str | None = None
    """Words of the message, in any case; None: the code alone says it."""
    text: str | None = None
    """What to change, when the group's sentence is not good enough."""
    again: bool | None = None
    """Whether it is worth running again; None: as its group."""

    @property
    def advice(self) -> Advice:
        """What to do about it."""
        retryable = self.group in _AGAIN if self.again is None else self.again
        return Advice(self.group, self.text or _TEXTS[self.group], retryable)

    def applies(self, code: str | None, message: str) -> bool:
        """Whether a record's error is this one; `message` in lower case.

        An error without a code, as the oldest documents show it, goes by its message.
        """
        if self.match is None:
            return code == self.code
        return self.match.lower() in message


_AGAIN: Final = frozenset({FailureGroup.CAPACITY, FailureGroup.CHANCE})
_TEXTS: Final = {
    FailureGroup.CAPACITY: "run it again: the service was busy",
    FailureGroup.CHANCE: "run it again, or change the seed: only the picture was refused",
    FailureGroup.PROMPT: "change the prompt: it was moderated",
    FailureGroup.MEDIA: "use other reference media: these were moderated",
    FailureGroup.RESULT: "change the prompt or the references: the result was moderated",
    FailureGroup.REFERENCE: "check that the reference's address is public, or host the file anew",
    FailureGroup.LIMITS: "mend the references: too long, too small or of the wrong kind",
    FailureGroup.UNKNOWN: "read the message: the documents do not explain this failure",
}
_G = FailureGroup

# Order matters: the first that applies is the advice. What a message says of capacity
# comes before what else it says, and words of politeness ("please try again") come last.
BANNED_WORD = Failure(
    _G.PROMPT, "banned_prompt_words", text="replace the word that Midjourney bans"
)
PROMPT_RULES = Failure(_G.PROMPT, "2038")
# Only listed as an example; the demo task that fails so had a face in its image.
EXAMPLE_CODE = Failure(_G.UNKNOWN, "4011")
BUSY_500 = Failure(_G.CAPACITY, "500", "temporarily unavailable")
BUSY_1001 = Failure(_G.CAPACITY, "1001", "temporarily unavailable")
SERVICE = Failure(_G.CAPACITY, "500", "ServiceUnavailable")
UNSUITED_EXTENSION = Failure(
    _G.CHANCE,
    "1001",
    "invalid for video extension",
    text="run it again once, then shorten the source or the prompt",
)
UNSUITED_EDIT = Failure(
    _G.LIMITS,
    "1001",
    "invalid for video editing",
    text="trim the source video to 4 to 30 seconds",
)
UPLOADED_IMAGE = Failure(_G.MEDIA, "500", "uploaded image violates")
SENSITIVE_MEDIA = Failure(_G.MEDIA, "1001", "sensitive content")
FACE = Failure(
    _G.RESULT,
    "500",
    "FaceDetectionSuspect",
    text="change the prompt or the media: it looks like a real person's face",
)
BLOCKED = Failure(_G.RESULT, "500", "blocked by moderation")
NOT_PASSED = Failure(_G.RESULT, "1001", "did not pass review")
COPYRIGHT_1001 = Failure(
    _G.RESULT, "1001", "copyright", text="change the prompt or the references: copyright"
)
COPYRIGHT_500 = Failure(
    _G.MEDIA, "500", "copyright", text="use other references: these are protected by copyright"
)
COMMUNITY = Failure(_G.CHANCE, "500", "community guidelines")
TOO_SMALL = Failure(
    _G.LIMITS,
    "InvalidParameter",
    "resolution is too low",
    text="use a larger image, of at most 8000 x 8000 pixels",
)
VIDEO_TOO_LONG = Failure(
    _G.LIMITS,
    "InvalidParameter",
    "at most 15s",
    text="cut each reference video to 15 seconds",
)
SUM_TOO_LONG = Failure(
    _G.LIMITS,
    "InvalidParameter",
    "exceeds 30s limit",
    text="shorten the references or the duration: 30 seconds together",
)
AUDIO_TOO_LONG = Failure(
    _G.LIMITS,
    "InvalidParameter",
    "audio total duration",
    text="cut the audio references to 15 seconds together",
)
UNREADABLE = Failure(
    _G.REFERENCE,
    "InvalidParameter",
    "Green net",
    text="encode the file anew: the review could not read it",
)
NOT_FETCHED = Failure(_G.REFERENCE, "InvalidParameter", "download")
NOT_FETCHED_500 = Failure(_G.REFERENCE, "500", "download")
NOT_FETCHED_1001 = Failure(_G.REFERENCE, "1001", "download")
REVIEW = Failure(
    _G.REFERENCE,
    "asset_review_failed",
    text="host the named reference anew or use another: refused by the review, or not fetchable",
)
BAD_REFERENCES = Failure(_G.LIMITS, "InvalidParameter")
BACKEND = Failure(_G.CAPACITY, "500", "please try again")
FAILURES: Final = (
    BANNED_WORD,
    PROMPT_RULES,
    EXAMPLE_CODE,
    BUSY_500,
    BUSY_1001,
    SERVICE,
    UNSUITED_EXTENSION,
    UNSUITED_EDIT,
    UPLOADED_IMAGE,
    SENSITIVE_MEDIA,
    FACE,
    BLOCKED,
    NOT_PASSED,
    COPYRIGHT_1001,
    COPYRIGHT_500,
    COMMUNITY,
    TOO_SMALL,
    VIDEO_TOO_LONG,
    SUM_TOO_LONG,
    AUDIO_TOO_LONG,
    UNREADABLE,
    NOT_FETCHED,
    NOT_FETCHED_500,
    NOT_FETCHED_1001,
    REVIEW,
    BAD_REFERENCES,
    BACKEND,
)

UNKNOWN: Final = Advice(FailureGroup.UNKNOWN, _TEXTS[FailureGroup.UNKNOWN], retryable=False)


def advice(code: str | None, message: str) -> Advice:
    """What to do about a task that failed with this code and message.

    Args:
        code: `error.code` of the record, None when it gave none.
        message: `error.message`, in any case.

    A failure the documents do not know is not worth running again.
    """
    lowered = message.lower()
    exact = [each for each in FAILURES if each.code == code]
    return next((each.advice for each in _applying(exact, code, lowered)), None) or next(
        (each.advice for each in _applying(FAILURES, code, lowered)), UNKNOWN
    )


def _applying(failures: Iterable[Failure], code: str | None, message: str) -> Iterable[Failure]:
    return (each for each in failures if each.applies(code, message))
