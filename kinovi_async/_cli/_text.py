"""The package's texts for people, under the name that the command's modules use."""

from __future__ import annotations

from .._text import (
    USD_PER_CREDIT,
    counted,
    dollars,
    duration,
    in_credits,
    in_money,
    number,
    shortened,
    visible,
)

__all__ = [
    "USD_PER_CREDIT",
    "counted",
    "dollars",
    "duration",
    "in_credits",
    "in_money",
    "number",
    "shortened",
    "visible",
]
