"""`gamestream dlq`: the dead letters of intake: list them, show one, fix and replay them."""

from __future__ import annotations

import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gamestream_dagster.cli import dlq_output, panels
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from

if TYPE_CHECKING:
    from gamestream_dagster.dead_letters.fixes import FixFile
    from gamestream_dagster.dead_letters.letter import DeadLetter
    from gamestream_dagster.dead_letters.reading import DeadLetterReader
    from gamestream_dagster.dead_letters.replaying import Replay
    from gamestream_dagster.dead_letters.selection import Selection
    from gamestream_dagster.events.game_judge import GameEventJudge
    from gamestream_dagster.settings import Settings

talk = Talk(stderr=True)
MOST = 10_000
_PROGRESS_SECONDS = 0.2
_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

Reason = Annotated[list[str] | None, typer.Option("--reason", help="Such as OUT_OF_RANGE; once for each.")]
Type = Annotated[
    list[str] | None, typer.Option("--type", help="Event type; `unknown` where it could not be read; once for each.")
]
Field = Annotated[str | None, typer.Option("--field", help="Field that the reason is about: properties.score.")]
EventId = Annotated[str | None, typer.Option("--event-id", help="Of one event.")]
Player = Annotated[str | None, typer.Option("--user-id", help="Of one player.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Refused records that Kafka took from then on: 2h, 1d, or ISO with zone.")
]
Until = Annotated[str | None, typer.Option("--until", help="And before then; the same form.")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Dead letters: refused game events; fix them and replay them.", no_args_is_help=True)
    group.command("list")(list_letters)
    group.command("show")(show)
    group.command("fix-and-replay")(fix_and_replay)
    app.add_typer(group, name="dlq", rich_help_panel=panels.EVENTS)


def list_letters(  # noqa: PLR0917 - Typer reads the options from the signature
    reason: Reason = None,
    kind: Type = None,
    field: Field = None,
    event_id: EventId = None,
    user_id: Player = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, max=MOST, help="Show the newest so many.")] = 50,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, oldest first, and count them by reason."""
    from gamestream_dagster.dead_letters.reading import Seen

    settings = settings_from(home, port_base)
    counts: Counter[str] = Counter()
    newest: deque[dict[str, Any]] = deque(maxlen=limit)
    seen = Seen()
    with as_could_not_run(), _progress() as on_progress:
        selection = _selection(reason, kind, field, event_id, user_id, since, until)
        for letter in _reader(settings).letters(selection, on_progress, seen):
            counts[letter.reason] += 1
            newest.append(dlq_output.row(letter))
    if as_json:
        found = {"letters": list(newest), "matching": counts.total(), "by_reason": dict(counts.most_common())}
        typer.echo(json.dumps({**found, "unreadable": seen.unreadable_count}))
        return
    dlq_output.print_letters(newest)
    _warn(seen.unreadable, seen.unreadable_count)
    if not counts:
        talk.print("No dead letter matches.")
        return
    parts = " ".join(f"{name}={number}" for name, number in counts.most_common())
    talk.print(f"LETTERS={counts.total()} SHOWN={len(newest)} {parts}")
    talk.print("Next: `gamestream dlq show POSITION`, or `gamestream dlq fix-and-replay`, which begins with a dry run.")


def show(
    letter: Annotated[
        str, typer.Argument(metavar="LETTER", help="A position as `gamestream dlq list` shows it (p0@17), or an id.")
    ],
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Show a dead letter: why it was refused, where it came from, its exact content, and its replay."""
    from gamestream_dagster.dead_letters.book import page_for
    from gamestream_dagster.dead_letters.letter import judged_again

    settings = settings_from(home, port_base)
    with as_could_not_run(), _judge(settings) as judge:
        reader = _reader(settings)
        found = _letters_of(reader, letter)
        page = page_for(reader.entries(), found, frozenset())
        shown = [
            dlq_output.whole(one, judged_again(judge, one), page.attempt_of(one), page.replayed.get(one.key))
            for one in found
        ]
    if as_json:
        typer.echo(json.dumps(shown))
        return
    for one in shown:
        dlq_output.print_whole(one)


def fix_and_replay(  # noqa: PLR0917 - Typer reads the options from the signature
    fixes: Annotated[
        Path | None,
        typer.Option("--fixes", help="YAML file of fixes (docs/dead-letters.md); without: replay as they are."),
    ] = None,
    position: Annotated[
        list[str] | None, typer.Option("--position", help="Only this letter (p0@17); once for each.")
    ] = None,
    reason: Reason = None,
    kind: Type = None,
    field: Field = None,
    event_id: EventId = None,
    user_id: Player = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=MOST, help="Replay at most so many.")] = 1000,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replay. Without it nothing is sent: a dry run.")] = False,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Fix dead letters and send them again, each once. A dry run unless --yes is given.

    Exit code 1 if some of the letters stay dead.
    """
    from gamestream_dagster.dead_letters.replaying import Replay
    from gamestream_dagster.dead_letters.transaction import Replayer
    from gamestream_dagster.events.suppression import load_suppression

    settings = settings_from(home, port_base)
    with as_could_not_run(), _judge(settings) as judge:
        selection = _selection(reason, kind, field, event_id, user_id, since, until, position)
        read = None if fixes is None else _fixes(fixes)
        replay = Replay(_reader(settings), selection, read, judge, _now, limit, load_suppression(settings))
        plan, entries = _run(replay, (lambda: Replayer(settings.kafka)) if yes else None)
    if as_json:
        typer.echo(json.dumps(dlq_output.plan_data(plan, entries, dry_run=not yes)))
    else:
        dlq_output.print_plan(plan, entries)
        talk.print(dlq_output.summary(plan, entries, dry_run=not yes))
    if plan.stay:
        raise typer.Exit(1)


@contextmanager
def _judge(settings: Settings) -> Iterator[GameEventJudge]:
    """The rule; letters in Avro need the registry."""
    from gamestream_dagster.clients.registry import Registry
    from gamestream_dagster.events.game_judge import GameEventJudge

    with Registry(settings.registry) as registry:
        yield GameEventJudge(registry=registry)


def _run(replay: Replay, open_replayer: Callable[[], Any] | None) -> tuple[Any, Any]:
    with _progress() as on_progress:
        if open_replayer is None:
            return replay.plan(on_progress), None
        with open_replayer() as sender:
            return replay.carry_out(sender, on_progress)


def _letters_of(reader: DeadLetterReader, given: str) -> list[DeadLetter]:
    from gamestream_dagster.dead_letters.letter import position_of
    from gamestream_dagster.dead_letters.selection import Selection

    place = position_of(given)
    if place is not None:
        return [reader.letter_at(place)]
    newest: deque[DeadLetter] = deque(maxlen=dlq_output.MOST_WHOLE)
    with _progress() as on_progress:
        from gamestream_dagster.dead_letters.reading import Seen

        newest.extend(reader.letters(Selection(event_id=given), on_progress, Seen()))
    if not newest:
        raise CouldNotRun(
            f"There is no dead letter of the event {given!r}; see `gamestream dlq list` for positions, or ask for "
            "the id that the sender gave it."
        )
    return list(newest)


def _selection(  # noqa: PLR0917 - in the order of the options
    reason: list[str] | None,
    kind: list[str] | None,
    field: str | None,
    event_id: str | None,
    user_id: str | None,
    since: str | None,
    until: str | None,
    positions: list[str] | None = None,
) -> Selection:
    from gamestream_dagster.dead_letters.letter import position_of
    from gamestream_dagster.dead_letters.selection import Selection, known_reasons

    places = {text: position_of(text) for text in positions or []}
    if wrong := next((text for text, place in places.items() if place is None), None):
        raise CouldNotRun(f"--position {wrong!r} is no position; write it as `gamestream dlq list` shows it: p0@17.")
    begin, end = _millis("--since", since), _millis("--until", until)
    if begin is not None and end is not None and begin >= end:
        raise CouldNotRun("--since is not before --until; change one of the two.")
    return Selection(
        reasons=known_reasons(reason or []),
        types=frozenset(kind or []),
        field=field,
        places=frozenset(place for place in places.values() if place is not None),
        event_id=event_id,
        user_id=user_id,
        since=begin,
        until=end,
    )


def _fixes(path: Path) -> FixFile:
    from gamestream_dagster.dead_letters.fixes import MAX_FILE_BYTES, read_fixes

    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1).decode()
    except OSError as error:
        raise CouldNotRun(f"{path} cannot be read ({error.strerror}); give the path of a YAML file.") from error
    except UnicodeDecodeError as error:
        raise CouldNotRun(f"{path} is not UTF-8; save it as UTF-8.") from error
    return read_fixes(text, str(path))


def _reader(settings: Settings) -> DeadLetterReader:
    from gamestream_dagster.dead_letters.reading import DeadLetterReader

    return DeadLetterReader(settings.kafka)


def _now() -> int:
    return int(time.time() * 1000)


def _millis(option: str, given: str | None) -> int | None:
    """A time, or how long ago."""
    if given is None:
        return None
    ago = _AGO.fullmatch(given)
    if ago is not None:
        return max(0, _now() - int(ago[1]) * _UNITS[ago[2]])
    try:
        moment = datetime.fromisoformat(given)
        millis = int(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise CouldNotRun(f"{option} {given!r} is not a time; write 2h, 1d or 2026-01-31T12:00:00Z.") from error
    if moment.tzinfo is None:
        raise CouldNotRun(f"{option} {given!r} has no zone; add Z for UTC.")
    if moment < datetime(1970, 1, 1, tzinfo=UTC):
        raise CouldNotRun(f"{option} {given!r} is before 1970; give a later time.")
    return millis


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A line on stderr, where it is a terminal, with how far a read is."""
    if not talk.is_terminal:
        yield lambda _passed, _all: None
        return
    shown = 0.0
    with talk.status("Reading …") as status:

        def on_progress(passed: int, of_all: int) -> None:
            nonlocal shown
            if time.monotonic() - shown >= _PROGRESS_SECONDS:
                shown = time.monotonic()
                status.update(f"Reading … {passed:,} of {of_all:,} records")

        yield on_progress


def _warn(sentences: list[str], count: int) -> None:
    for sentence in sentences:
        talk.print(sentence)
    if count > len(sentences):
        talk.print(f"{count - len(sentences)} more records are no dead letters.")
