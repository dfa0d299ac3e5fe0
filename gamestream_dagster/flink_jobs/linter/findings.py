"""What the linter looks for: the rules with their codes and reasons, and the shape of a finding."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # rows will be wrong, lost or exposed
    WARN = "warn"  # right today, but dear, or wrong under a condition that the SQL does not rule out


@dataclass(frozen=True)
class Rule:
    """One rule. `why` names the fact that it stands on, `mend` the change that ends the finding."""

    code: str
    severity: Severity
    planner: bool  # needs Flink's planner
    what: str
    why: str
    mend: str


@dataclass(frozen=True)
class Finding:
    """One place that breaks a rule. `line` counts from 1; `message` never holds the value of an option."""

    file: str
    line: int
    code: str
    message: str

    @property
    def severity(self) -> Severity:
        """The severity of its rule."""
        return RULES[self.code].severity


_E, _W = Severity.ERROR, Severity.WARN
_ALL = (
    Rule(
        "GS01", _E, False,
        "A source starts at its end: `latest-offset`, by an option, a hint, LIKE, ALTER TABLE or the group's reset",
        "Events published before the submission are never counted: the result depends on when the job was started.",
        "`'scan.startup.mode' = 'earliest-offset'`",
    ),
    Rule(
        "GS02", _E, False,
        "`SUM` over INT, SMALLINT or TINYINT",
        "Flink's SUM keeps the type of its argument and wraps in silence past 2,147,483,647; a CAST after the SUM comes"
        " too late.",
        "Declare the column BIGINT, or write `SUM(CAST(x AS BIGINT))`",
    ),
    Rule(
        "GS03", _E, False,
        "A state TTL under an unbounded aggregate, `OVER` or Top-N",
        "A sum whose state has expired starts again from 0, and expiry sends no retraction: old ranks stay.",
        "No TTL; put the season into the key, or use windows",
    ),
    Rule(
        "GS04", _E, False,
        "A Top-N with no total order",
        "Among rows that tie, the one that came first keeps its place: a replay gives another board.",
        "End `ORDER BY` in the key of the rows that are ranked, such as `total DESC, team_id ASC`",
    ),
    Rule(
        "GS05", _E, True,
        "The upsert key of the query is not the primary key of the sink",
        "Rows of one sink key arrive from several writers in any order; Flink 2.3 refuses to plan it unless"
        " `ON CONFLICT` says what to do.",
        "Make the sink's key the key of the last aggregate or rank",
    ),
    Rule(
        "GS06", _E, False,
        "FLOAT or DOUBLE in a ranking order or a comparison",
        "Two different quotients can be one float, and a sum of floats depends on the order of arrival.",
        "Compare integers, or a DECIMAL with 19 places; cast to DOUBLE after ranking, for display",
    ),
    Rule(
        "GS07", _E, False,
        "Processing time in a result",
        "The value depends on when the record was read: a recompute or a restore gives another answer.",
        "Use the event's time or the record's Kafka time",
    ),
    Rule(
        "GS08", _E, False,
        "An event-time window over a source with no watermark",
        "Without a watermark no window ever closes: the sink stays empty.",
        "Declare `WATERMARK FOR ...` on the source",
    ),
    Rule(
        "GS09", _E, False,
        "A secret in the SQL",
        "The text of a script ends in the repository, in logs and in Flink's web page.",
        "A placeholder that is filled at submission, such as `${postgres_password}`",
    ),
    Rule(
        "GS10", _E, False,
        "`ADD JAR`",
        "Each submission loads the classes again into a session cluster that never lets go of them, until its metaspace"
        " is full.",
        "Put connectors into the cluster's `lib/`",
    ),
    Rule(
        "GS11", _E, False,
        "`DROP TABLE` in a deploy script",
        "Running the script again takes the table from under whatever uses it.",
        "`CREATE TEMPORARY TABLE`: it ends with the session",
    ),
    Rule(
        "GS12", _W, True,
        "RetractStrategy on a global rank by a sum or a count",
        "The planner could not prove that the sum never falls, so it keeps every row and not N; measured: 3.9 k"
        " events/s in place of 243 k.",
        "`WHERE points >= 0` right under the SUM, spelled in its own way in each view of the job (a filter that views"
        " share is planned apart from the SUM), and order by the sum, then the group key",
    ),
    Rule(
        "GS13", _W, True,
        "A regular join of windowed inputs",
        "The join keeps every window of both sides for ever: its state only grows.",
        "A window join, or one more window over a UNION ALL of both",
    ),
    Rule(
        "GS14", _W, False,
        "`sink.parallelism` other than 1 on a sink that is keyed by rank",
        "An entity that moves touches several ranks; parallel writers let readers see it twice or not at all, and two"
        " writers of the same rows can deadlock.",
        "`'sink.parallelism' = '1'`: a board has N rows",
    ),
    Rule(
        "GS15", _W, False,
        "A `*_name` column is the only key of a partition",
        "Names are not unique: two teams of one name become one.",
        "Partition by the id",
    ),
    Rule(
        "GS16", _E, True,
        "Flink's planner refuses the statement",
        "It would be refused at submission too.",
        "What the planner says",
    ),
    Rule(
        "GS17", _E, False,
        "A statement that the linter does not understand",
        "What no rule can judge may hide any of the faults above.",
        "Mend what is misspelt; take what does not belong into a deploy script out of it",
    ),
    Rule(
        "GS18", _E, False,
        "A job whose outputs are recomputed, without a ledger",
        "Its own count of the events is missing, so every proof of its outputs ends NOT BALANCED.",
        "List sources that define the views `checked_...` and `counted_...`: the ledger is rendered from them",
    ),
)  # fmt: skip
RULES: dict[str, Rule] = {rule.code: rule for rule in _ALL}


def rules_table() -> str:
    """The rules as the Markdown table of docs/lint.md."""
    rows = ["| code | severity | looks at | what | why | how to mend |", "|---|---|---|---|---|---|"]
    for rule in _ALL:
        looks_at = "plan" if rule.planner else "text, plan" if rule.code == "GS04" else "text"
        cells = (rule.code, rule.severity, looks_at, rule.what, rule.why, rule.mend)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"
