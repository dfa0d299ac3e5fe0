"""`gamestream ranks`: the ranks of all players."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk
from gamestream_dagster.cli.options import AsJson, Home, PortBase, as_could_not_run, settings_from

if TYPE_CHECKING:
    from gamestream_dagster.serving_api.ranks.verify import RankProof

data = PlainConsole(width=200, soft_wrap=True)
talk = Talk(stderr=True)
ranks = typer.Typer(no_args_is_help=True, help="Ranks of all players (setting `ranks: all`): where they stand, proof.")


def register(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    app.add_typer(ranks, name="ranks", rich_help_panel=panels.PROOF)


@ranks.command()
def status(home: Home = None, port_base: PortBase = None, as_json: AsJson = False) -> None:
    """How many players the set has, and the cut at which it stands."""
    settings = settings_from(home, port_base)
    with as_could_not_run():
        from gamestream_dagster.clients.kafka_admin import KafkaAdmin
        from gamestream_dagster.clients.valkey import client
        from gamestream_dagster.reconciliation.model.cut import shown
        from gamestream_dagster.serving_api.ranks.ranked import ranked_of
        from gamestream_dagster.serving_api.ranks.store import RankStore, SetKeys
        from gamestream_dagster.serving_api.ranks.totals_topic import incarnation

        ranked = ranked_of(settings)
        keys = SetKeys(incarnation(KafkaAdmin(settings.kafka), ranked.output.topic))
        with client(settings) as opened:
            store = RankStore(opened, keys, settings.valkey)
            state, players = store.state(), store.players()
    if as_json:
        found = {"board": ranked.board.name, "players": players, "state": json.loads(state.packed())}
        _write(found)
        return
    whole = "complete" if state.complete else "being loaded"
    data.print(Text(f"board    {ranked.board.name}, from {ranked.output.topic}"))
    data.print(Text(f"players  {players:,}   {whole}"))
    if state.low is not None and state.high is not None:
        at = datetime.fromtimestamp(state.loaded_ms / 1000, UTC)
        data.print(
            Text(f"cut      {state.topic} {shown(state.low)} to {shown(state.high)}   {at:%Y-%m-%d %H:%M:%S} UTC")
        )
    else:
        data.print(Text(f"cut      unknown: {state.reason or 'nothing is loaded yet'}"))


@ranks.command()
def verify(home: Home = None, port_base: PortBase = None, as_json: AsJson = False) -> None:
    """Compare every player's total with the archived events at the set's cut; exit code 1 where one differs."""
    settings = settings_from(home, port_base)
    with as_could_not_run(), talk.status("looking") as shown:
        from gamestream_dagster.serving_api.ranks.verify import verify_ranks

        found = verify_ranks(settings, shown.update)
    if as_json:
        _write(_described(found))
    else:
        _print(found)
    if found.differing:
        raise typer.Exit(1)


def _print(found: RankProof) -> None:
    from gamestream_dagster.reconciliation.model.cut import shown
    from gamestream_dagster.reconciliation.results.report_view import visible

    state = found.state
    data.print(Text(f"{found.verdict.value}  {found.players:,} players   run {found.run_id}"))
    data.print(Text(f"cut      {state.topic} {shown(state.low or {})} to {shown(state.high or {})}"))
    for one in found.wrong:
        told = "absent" if one.shown is None else f"{one.shown:,}"
        events = "no event" if one.high is None else f"{one.low:,} to {one.high:,} by the events"
        data.print(Text(f"DIFF     {visible(one.player)}  {told}, {events}"))
    if found.differing > len(found.wrong):
        data.print(Text(f"         and {found.differing - len(found.wrong):,} more"))
    if found.differing:
        talk.print("Next: `gamestream why PLAYER --board top_players`, `gamestream reconcile`.")


def _described(found: RankProof) -> dict[str, Any]:
    return {
        "run_id": found.run_id,
        "verdict": found.verdict.value,
        "players": found.players,
        "differing": found.differing,
        "state": json.loads(found.state.packed()),
        "wrong": [{"player": one.player, "shown": one.shown, "low": one.low, "high": one.high} for one in found.wrong],
    }


def _write(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
