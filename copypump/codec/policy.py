"""What becomes of values that Arrow cannot hold, or holds in a way that its compute misreads.

Imports nothing, so that help can read it.
"""

from __future__ import annotations

import enum


class Policy(enum.StrEnum):
    """The user's choice for a column; without one infinities are kept, and all else is an error."""

    help: str

    def __new__(cls, value: str, help: str) -> Policy:  # noqa: A002 - the word that it is
        """Keep the help beside the name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.help = help
        return member

    ERROR = "error", "stop, naming the row, at infinite dates and timestamps too"
    NULL = "null", "read it as NULL, and count it as a warning"
    KEEP = "keep", "let infinities and 24:00:00 through as the integers that they are, and count them"


POLICIES: dict[str, Policy] = {str(policy): policy for policy in Policy}
