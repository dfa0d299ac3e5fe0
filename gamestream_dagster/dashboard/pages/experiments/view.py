"""From kept experiments to panels."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from gamestream_dagster.dashboard.pages.experiments.kept import Kept
from gamestream_dagster.dashboard.parts import (
    Badge,
    Cell,
    Column,
    Link,
    Note,
    Panel,
    Part,
    Table,
    Tile,
    Tone,
    ago,
    clock,
    count,
    doc,
    per_cent,
    plural,
)
from gamestream_dagster.experiments.certificate import ExperimentCertificate
from gamestream_dagster.experiments.plan import Plan
from gamestream_dagster.experiments.readout import ArmRead, Comparison, Outcome, Status
from gamestream_dagster.experiments.sentence import difference_text, interval_text, level_text, p_text, sentence
from gamestream_dagster.experiments.srm import SrmStatus

_STATUS_TONES: Final = {Status.READ: Tone.GOOD, Status.EARLY: Tone.PLAIN, Status.BLOCKED: Tone.BAD}
_STATUS_WORDS: Final = {Status.READ: "read", Status.EARLY: "too early", Status.BLOCKED: "blocked"}
_OUTCOME_TONES: Final = {
    Outcome.BETTER: Tone.GOOD,
    Outcome.WORSE: Tone.BAD,
    Outcome.MIXED: Tone.WARN,
    Outcome.NOT_SHOWN: Tone.PLAIN,
}
_SRM_TONES: Final = {SrmStatus.OK: Tone.GOOD, SrmStatus.WARN: Tone.WARN, SrmStatus.BLOCK: Tone.BAD}
DOCS: Final = "experiments"


def tiles(kept: Sequence[Kept]) -> list[Tile]:
    """How many experiments there are, by what is known of them."""
    if not kept:
        return []
    read = [one.certificate.readout for one in kept if one.certificate]
    winners = sum(Outcome.BETTER in one.outcomes.values() for one in read)
    blocked = sum(one.status is Status.BLOCKED for one in read)
    players = sum(one.players for one in read)
    tone = Tone.BAD if blocked else Tone.GOOD
    return [
        Tile("Experiments", count(len(kept)), f"{len(read)} read at least once", doc(DOCS)),
        Tile("With a better arm", count(winners), "shown beyond chance", doc(DOCS, "methods")),
        Tile(
            "Blocked",
            count(blocked),
            "by their split",
            doc(DOCS, "what-blocks-a-result"),
            tone,
        ),
        Tile("Players", count(players), "in the arms of all", doc(DOCS, "players-from-the-archive")),
    ]


def panels(kept: Sequence[Kept], now: datetime) -> list[Panel]:
    """One panel for each experiment; a way to the first one where there is none."""
    if not kept:
        text = (
            "No experiment yet. Put a plan into the folder experiments/ and Dagster reads it each day; "
            "or read a file of players now:"
        )
        link = Link("a worked example", doc(DOCS, "a-worked-example"))
        note = Note(text, "gamestream experiment FILE.csv")
        return [
            Panel("none", "Experiments", "Assignment, differences, intervals.", [note], links=(link,), is_wide=True)
        ]
    return [_panel(one, now) for one in kept]


def _panel(one: Kept, now: datetime) -> Panel:
    made = one.certificate
    links = (Link("methods", doc(DOCS, "methods")),)
    if made is None:
        text = one.problem or "There is a plan and no readout yet: Dagster reads it each day."
        about = one.plan.experiment if one.plan else one.name
        return Panel(
            one.name, about, "Planned.", [Note(text, tone=Tone.WARN if one.problem else Tone.PLAIN)], links=links
        )
    parts: list[Part] = []
    if one.problem:
        parts.append(Note(one.problem, tone=Tone.WARN))
    if not one.is_frozen:
        parts.append(Note("The plan was changed after this readout was made: it is not the frozen one.", tone=Tone.BAD))
    parts += [_arms(made), *_comparisons(made)]
    parts += [Note(note) for note in made.readout.notes]
    parts.append(Note(f"Certificate {made.digest[:12]}. To compute it again:", _verify(one, made)))
    told = sentence(made.readout, made.plan)
    return Panel(one.name, made.readout.experiment, told, parts, _badges(made, now), links, is_wide=True)


def _verify(one: Kept, made: ExperimentCertificate) -> str:
    data = f" --data {shlex.quote(made.file.name)}" if made.file else ""
    return f"gamestream certificate verify {shlex.quote(str(one.file))}{data}"


def _badges(made: ExperimentCertificate, now: datetime) -> tuple[Badge, ...]:
    read = made.readout
    split = read.split
    hint = (
        f"Chi-square {split.chi_square:.2f}, p {p_text(split.p_value)}, largest deviation {per_cent(split.deviation)}"
    )
    kind = "planned" if read.planned else "exploratory"
    return (
        Badge(_STATUS_WORDS[read.status], _STATUS_TONES[read.status], f"As of {clock(read.as_of)} UTC"),
        Badge(f"split {split.status.value.lower()}", _SRM_TONES[split.status], hint),
        Badge(kind, Tone.PLAIN, f"Plan {made.plan_digest[:12]}"),
        Badge(ago(now - made.made_at), Tone.PLAIN, f"Made {clock(made.made_at)} UTC"),
    )


def _arms(made: ExperimentCertificate) -> Table:
    read, plan = made.readout, made.plan
    columns = [
        Column("arm"),
        Column("outcome"),
        Column("players", is_number=True),
        Column("share", is_number=True, hint="Planned share in the second line"),
        *(Column(name.replace("_", " "), is_number=True) for name in plan.metrics),
    ]
    most = max((arm.players for arm in read.arms), default=0) or 1
    rows = [
        [
            Cell(arm.variant, soft="control" if arm.variant == plan.control else ""),
            _outcome(arm, made),
            Cell(count(arm.players), share=arm.players / most),
            Cell(per_cent(arm.share), soft=f"planned {per_cent(arm.planned_share)}"),
            *(Cell(_value(arm, name)) for name in plan.metrics),
        ]
        for arm in read.arms
    ]
    left = [plural(read.crossovers, "player") + " seen in two arms left out"]
    if read.waiting:
        left.append(f"{plural(read.waiting, 'player')} whose window is not over")
    return Table(columns, rows, "; ".join(left) + ".")


def _outcome(arm: ArmRead, made: ExperimentCertificate) -> Cell:
    found = made.readout.outcomes.get(arm.variant)
    if found is None:
        return Cell("–")
    return Cell(found.value.lower().replace("_", " "), tone=_OUTCOME_TONES[found])


def _value(arm: ArmRead, name: str) -> str:
    metric = arm.metrics.get(name)
    if metric is None:
        return "–"
    return per_cent(metric.rate) if metric.rate is not None else f"{metric.mean or 0:,.3g}"


def _comparisons(made: ExperimentCertificate) -> list[Part]:
    read, plan = made.readout, made.plan
    if not read.comparisons:
        return []
    columns = [
        Column("metric"),
        Column("arms"),
        Column("difference", is_number=True),
        Column(f"{level_text(plan)} interval", is_number=True),
        Column("p", is_number=True),
        Column("corrected p", is_number=True, hint="Holm, over variants and metrics; guardrails are not corrected"),
        Column("verdict"),
    ]
    return [Table(columns, [_comparison(one, plan) for one in read.comparisons])]


def _comparison(one: Comparison, plan: Plan) -> list[Cell]:
    word, tone = "not shown", Tone.PLAIN
    if one.significant:
        word, tone = ("better", Tone.GOOD) if one.improves else ("worse", Tone.BAD)
    relative = "" if one.relative is None else f"{one.relative:+.1%} of control"
    return [
        Cell(one.metric.replace("_", " "), soft=one.role.value, hint=one.note or ""),
        Cell(f"{one.variant} - {one.control}"),
        Cell(difference_text(one, plan), soft=relative),
        Cell(interval_text(one, plan)),
        Cell(p_text(one.p_value)),
        Cell(p_text(one.holm_p_value)),
        Cell(word, tone=tone, hint=one.note or one.method.value),
    ]
