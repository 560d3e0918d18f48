"""Logging for the command line: the `copypump.*` loggers on stderr, as text or as one JSON object a line.

With JSON, errors and progress are such lines too, so that everything on stderr can be parsed.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

from copypump.errors import printable

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

_errors = logging.getLogger("copypump.cli")
_progress = logging.getLogger("copypump.progress")
# What every record has; anything else was handed over as `extra` and belongs to the event.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to whatever `sys.stderr` is at the time: while shown, a progress line stands in for it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override] # logging's own last resort does the same
        return sys.stderr

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing: a log line that cannot be written must not fill a log that cannot be written."""


class TextFormatter(logging.Formatter):
    """One line for people, its control characters escaped."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as text."""
        return printable(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time (UTC), level, logger, message, what was given as `extra`, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as JSON."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        event: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        event |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str)


def start(level: str, format_: str) -> None:
    """Send the log to stderr; called once, before a command does anything."""
    handler = _Handler()
    handler.setFormatter(JsonFormatter() if format_ == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger("copypump").setLevel(level.upper())
    _progress.setLevel(logging.INFO)  # wanted whatever the level, as long as there is progress to show


def failed(error: BaseException, code: int, lines: dict[str, Any], debug: bool) -> None:
    """Log what ends the process."""
    extra = {name: text for name, text in lines.items() if name != "error" and text}
    exception = (type(error), error, error.__traceback__) if debug else None
    _errors.error("%s", lines["error"], extra={**extra, "exit_code": int(code)}, exc_info=exception)


def progressed(text: str, values: dict[str, object]) -> None:
    """Log one moment of a run."""
    _progress.info("%s", text, extra=values)
