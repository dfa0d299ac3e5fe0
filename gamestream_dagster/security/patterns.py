"""The patterns by which a log line is read: one declaration for Python and for the Flink format `gamestream-log-lines`.

Both match a pattern against the whole text. The patterns use only what Java and Python read alike (no `.`, no `$`, no
case folding). A source address is taken by its place: sshd writes `from ADDRESS port N` behind the user name, so that
the last one counts, and PAM writes `rhost=ADDRESS` before it. A user name that looks like either changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import orjson


class LineKind(StrEnum):
    """What a line of an SSH server says about a try to log in."""

    FAILED = "failed"  # sshd: a try failed
    ACCEPTED = "accepted"  # sshd: a try succeeded
    INVALID_USER = "invalid_user"  # sshd: the user of a connection does not exist
    PAM_FAILURE = "pam_failure"  # PAM's own report of a failed try
    PAM_MORE = "pam_more"  # PAM's summary of further failed tries
    OTHER = "other"  # no try


class LineReason(StrEnum):
    """Why a record could not be read."""

    NOT_UTF8 = "NOT_UTF8"
    NOT_JSON = "NOT_JSON"  # begins as a JSON object and is none
    NO_LINE = "NO_LINE"  # JSON without a text that could be a log line
    NO_HEADER = "NO_HEADER"  # no time, host and program in front of the message
    UNKNOWN_FORM = "UNKNOWN_FORM"  # a try of an SSH server, in words or with an address that no pattern knows


_TIME: Final = (
    r"[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_HOST: Final = "[!-~]{1,255}"
_PROGRAM: Final = "[A-Za-z0-9_./-]{1,64}"
_TAG: Final = rf"({_PROGRAM})(?:\[([0-9]{{1,10}})\])?: ?([\s\S]*)"
_ADDRESS: Final = r"([0-9A-Fa-f:.]{2,45})(?:%[0-9A-Za-z_.-]{1,32})?"
_METHOD: Final = "[a-z0-9/_-]{1,64}"
_PORT: Final = "port [0-9]{1,5}"
_PAM: Final = r"logname=[^ ]* uid=[0-9]+ euid=[0-9]+ tty=[^ ]* ruser=[^ ]* rhost=" + _ADDRESS + r" *(?:user=[\s\S]*)?"

HEADER: Final = rf"(?:<[0-9]{{1,3}}>)?({_TIME}) ({_HOST}) {_TAG}"
"""RFC 3164 and what rsyslog writes: time, host, program, process, message."""
HEADER_5424: Final = (
    rf"<[0-9]{{1,3}}>1 ({_TIME}) ({_HOST}) ({_PROGRAM}) (?:([0-9]{{1,10}})|[!-~]{{1,128}}) [!-~]{{1,32}} "
    r"(?:-|\[[^\]]*\]) ?([\s\S]*)"
)
TAG: Final = _TAG
HOST: Final = _HOST
REPEATED: Final = r"message repeated ([0-9]{1,9}) times: \[ ?([\s\S]*)\]"
SHORT_TIME: Final = r"([A-Z][a-z]{2}) ([ 0-9][0-9]) ([0-9]{2}):([0-9]{2}):([0-9]{2})"
LONG_TIME: Final = (
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))?"
    r"(?:Z|([+-])([0-9]{2}):?([0-9]{2}))?"
)
# By kind, in the order of trying. The one group is the address; PAM's summary has the number of tries before it.
KINDS: Final[tuple[tuple[LineKind, str], ...]] = (
    (LineKind.OTHER, r"Failed none for [\s\S]*"),  # what a client asks first, to learn the methods
    (
        LineKind.FAILED,
        rf"Failed {_METHOD} for [\s\S]* from {_ADDRESS} {_PORT}(?: ssh2)?(?:: [A-Z0-9-]+ [!-~]+)?",
    ),
    (
        LineKind.ACCEPTED,
        # a certificate's own words follow the address: they may hold no further `from`
        rf"Accepted {_METHOD} for [\s\S]* from {_ADDRESS} {_PORT}(?: ssh2)?(?::(?: (?!from )[!-~]+)*)?",
    ),
    (LineKind.INVALID_USER, rf"(?:Invalid|Illegal) user [\s\S]* from {_ADDRESS}(?: {_PORT})?"),
    (LineKind.PAM_FAILURE, rf"pam_unix\(sshd:auth\): authentication failure; {_PAM}"),
    (LineKind.PAM_MORE, rf"PAM ([0-9]{{1,4}}) more authentication failures?; {_PAM}"),
)
TRY_PREFIXES: Final = (
    "Failed ",
    "Accepted ",
    "Invalid user ",
    "Illegal user ",
    "pam_unix(sshd:auth): authentication failure",
    "message repeated ",
)
"""An SSH server's line that begins so and fits no pattern is `UNKNOWN_FORM`: its words have changed."""
SSH_PROGRAMS: Final = ("sshd", "sshd-session", "sshd-auth")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MESSAGE_FIELDS: Final = ("message", "msg", "MESSAGE", "log")
HOST_FIELDS: Final = ("host", "hostname", "_HOSTNAME")
PROGRAM_FIELDS: Final = ("ident", "program", "SYSLOG_IDENTIFIER")
PID_FIELDS: Final = ("pid", "SYSLOG_PID", "_PID")
TIME_FIELDS: Final = ("ts", "timestamp", "@timestamp", "time")
UNKNOWN_HOST: Final = "unknown"
JSON_DEPTH: Final = 16
JSON_NUMBER: Final = 40
JSON_EXPONENT: Final = 40
LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999."""
SECONDS_BELOW: Final = 100_000_000_000
"""A number of time from here on is milliseconds."""
DAY_MS: Final = 86_400_000


def patterns_document() -> str:
    """The declaration as the Flink format takes it: one JSON object."""
    return orjson.dumps(
        {
            "header": HEADER,
            "header_5424": HEADER_5424,
            "tag": TAG,
            "host": HOST,
            "repeated": REPEATED,
            "short_time": SHORT_TIME,
            "long_time": LONG_TIME,
            "kinds": [[kind.value, pattern] for kind, pattern in KINDS],
            "prefixes": TRY_PREFIXES,
            "programs": SSH_PROGRAMS,
            "message_fields": MESSAGE_FIELDS,
            "host_fields": HOST_FIELDS,
            "program_fields": PROGRAM_FIELDS,
            "pid_fields": PID_FIELDS,
            "time_fields": TIME_FIELDS,
        }
    ).decode()
