"""What a failed attempt at a chunk means: the one table of SQLSTATEs that are worth another.

It holds for a run with a ledger, whose row makes every attempt safe: an attempt that committed after all is
found there by the next.
"""

from __future__ import annotations

import enum

from copypump.errors import CopypumpError, OutcomeUnknownError


class Retry(enum.Enum):
    """What is done after an error; `meaning` is for help and docs."""

    AGAIN = "again", "the chunk is tried again, on new sessions, after a pause"
    ONCE = "once", "the chunk is tried once more"
    STOP = "stop", "the run stops, and can be resumed"
    FATAL = "fatal", "the run fails; what it committed stays, and it can be resumed once the cause is gone"

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Retry:
        """Keep the meaning beside the name."""
        member = object.__new__(cls)
        member._value_ = value
        member.meaning = meaning
        return member


# What stops a run, by SQLSTATE, with what the user can do about it before the resume.
STOPPING: dict[str, str] = {
    "53100": "free space on the server's disk, then resume",  # disk_full
    "53400": "raise the limit that the server names, then resume",  # configuration_limit_exceeded
    # read_only_sql_transaction
    "25006": "after a failover, name the new primary (target_session_attrs=read-write finds it), then resume",
    "57014": "see who cancelled it, or raise statement_timeout there, then resume",  # query_canceled
    "25P03": "raise idle_in_transaction_session_timeout there, then resume",
    "25P04": "raise transaction_timeout there, then resume",
    "57P04": "the database was dropped: resume once it is back",  # database_dropped
    "57P05": "raise idle_session_timeout there, then resume",
}

# By SQLSTATE; what is not here is fatal. Classes 22, 23, 28 and 42 are, and so are 22P03 and 22P04, which
# mean a defect of ours.
RETRIES: dict[str, Retry] = {
    "40001": Retry.AGAIN,  # serialization_failure
    "40P01": Retry.AGAIN,  # deadlock_detected
    "55P03": Retry.AGAIN,  # lock_not_available
    "57P01": Retry.AGAIN,  # admin_shutdown
    "57P02": Retry.AGAIN,  # crash_shutdown
    "57P03": Retry.AGAIN,  # cannot_connect_now
    "53300": Retry.AGAIN,  # too_many_connections
    "08000": Retry.AGAIN,  # connection_exception
    "08001": Retry.AGAIN,  # sqlclient_unable_to_establish_sqlconnection
    "08003": Retry.AGAIN,  # connection_does_not_exist
    "08004": Retry.AGAIN,  # sqlserver_rejected_establishment_of_sqlconnection
    "08006": Retry.AGAIN,  # connection_failure
    "08007": Retry.AGAIN,  # transaction_resolution_unknown: the ledger knows
    "40003": Retry.AGAIN,  # statement_completion_unknown: likewise
    "53200": Retry.ONCE,  # out_of_memory
    **dict.fromkeys(STOPPING, Retry.STOP),
}


def classify(error: BaseException) -> Retry:
    """What is done after `error`; a session that was lost is tried again, like an unknown outcome."""
    if isinstance(error, OutcomeUnknownError):
        return Retry.AGAIN
    if not isinstance(error, CopypumpError):
        return Retry.FATAL
    if error.lost:
        return Retry.AGAIN
    return RETRIES.get(error.sqlstate or "", Retry.FATAL)
