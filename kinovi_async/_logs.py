"""The package's logger, and the handler that `KINOVI_LOG` asks for."""

from __future__ import annotations

import logging
import os
import sys

__all__ = ["configure_logging"]

_FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"


def configure_logging() -> None:
    """Shows the package's logs on standard error when `KINOVI_LOG` is debug or info.

    Any other value changes nothing; a program that sets up logging itself needs none of
    this. Idempotent.
    """
    level = {"debug": logging.DEBUG, "info": logging.INFO}.get(
        os.environ.get("KINOVI_LOG", "").strip().lower()
    )
    logger = logging.getLogger("kinovi_async")
    if level is None or any(isinstance(h, _EnvironmentHandler) for h in logger.handlers):
        return
    handler = _EnvironmentHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    logger.addHandler(handler)
    logger.setLevel(level)


class _EnvironmentHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Marks the handler as ours."""
