"""Erases a player: a written request, the suppression list, then one store after the other, and the certificate.

Every step can be repeated: a run that is killed anywhere is completed by running the same command again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gamestream_dagster.events.suppression import suppress
from gamestream_dagster.privacy.certificate import EraseCertificate, Erased, certify, scan_all
from gamestream_dagster.privacy.errors import ErasureError
from gamestream_dagster.privacy.player import Player, player_of, player_of_subject
from gamestream_dagster.privacy.requests import Request, Requests, State, open_requests
from gamestream_dagster.privacy.stores.all import Stores, stores_of
from gamestream_dagster.privacy.stores.model import Say, Store
from gamestream_dagster.settings import Settings


def request_erase(settings: Settings, user_id: str, stores: Stores | None = None) -> Request:
    """Write the request to erase a player, with what every store holds; an open one is returned as it is.

    Raises:
        PrivacyError: it is no id.
        GamestreamError: a store does not answer; nothing was written.
    """
    player = player_of(settings, user_id)
    with open_requests(settings) as requests:
        known = requests.open_of(player.subject)
        if known is not None:
            return known
        made = (stores or stores_of(settings))(_suppressed_since(requests, player))
        return requests.write(player.subject, user_id, planned(scan_all(made, player)), State.OPEN)


def erase(settings: Settings, number: int, say: Say = lambda _: None, stores: Stores | None = None) -> EraseCertificate:
    """Carry a request out, from wherever an earlier run of it ended.

    Args:
        settings: the stack.
        number: of the request.
        say: receives a sentence for each thing that is done; none names the player.
        stores: default: those of the stack.

    Raises:
        ErasureError: there is no such request, or another erase runs.
        GamestreamError: a store does not answer; run it again.
    """
    chosen = stores or stores_of(settings)
    with open_requests(settings) as requests, requests.alone():
        request = requests.numbered(number)
        if request.state is State.FINISHED:
            requests.forget(request.subject)
            return EraseCertificate.model_validate(request.certificate)
        player = _player_of(settings, request)
        made = chosen(_suppressed_since(requests, player))
        plan = _frozen(requests, request, made, player, say)
        since = _suppressed(settings, requests, request)
        steps = _carried_out(requests, request, player, chosen(since), say)
        say("scanning every store again, by the hash alone")
        left = scan_all(chosen(since), player_of_subject(settings, request.subject))
        made = certify(Erased(number, request.subject, request.requested_at, since, plan), left)
        requests.change(
            number,
            state=State.FINISHED.value,
            finished_at=datetime.now(UTC),
            steps=dict(steps),
            certificate=made.model_dump(mode="json"),
        )
        requests.forget(request.subject)
    return made


def _player_of(settings: Settings, request: Request) -> Player:
    """Whom an open request is about."""
    if request.state is State.EXPORT or request.player is None:
        raise ErasureError(
            f"Request {request.number} asks for an export", "write a new one with `gamestream player erase`"
        )
    player = player_of(settings, request.player)
    if player.subject != request.subject:  # the scan afterwards would look for somebody else, and find nothing
        raise ErasureError(
            f"Request {request.number} was written with another key of privacy",
            "restore <home>/secrets/privacy_key from a backup",
        )
    return player


def _frozen(
    requests: Requests, request: Request, stores: Sequence[Store], player: Player, say: Say
) -> tuple[Mapping[str, Any], ...]:
    """The plan of a request; one that was written without a scan gets its plan now, before anything is changed."""
    if request.plan is not None:
        return request.plan
    say("scanning every store")
    plan = planned(scan_all(stores, player))
    requests.change(request.number, plan=list(plan))
    return plan


def _suppressed(settings: Settings, requests: Requests, request: Request) -> datetime:
    """Put the player on the list; the moment from which on no writer lets the player pass."""
    if request.player is not None:
        suppress(settings, request.player, request.number)
    if request.suppressed_at is not None:
        return request.suppressed_at
    earlier = [one.suppressed_at for one in requests.all() if one.subject == request.subject and one.suppressed_at]
    since = min(earlier, default=datetime.now(UTC))
    requests.change(request.number, suppressed_at=since)
    return since


def _suppressed_since(requests: Requests, player: Player) -> datetime | None:
    found = [one.suppressed_at for one in requests.all() if one.subject == player.subject and one.suppressed_at]
    return min(found, default=None)


def _carried_out(
    requests: Requests, request: Request, player: Player, stores: Sequence[Store], say: Say
) -> Mapping[str, Any]:
    steps = dict(request.steps)
    for store in stores:
        # a step that an earlier run completed is repeated: it finds nothing, and costs a scan
        removed = store.erase(player, request.number, say)
        before = int(steps.get(store.name, {}).get("removed", 0))
        steps[store.name] = {"removed": before + removed, "done_at": datetime.now(UTC).isoformat()}
        requests.change(request.number, steps=dict(steps))
    return steps


def planned(found: list[Any]) -> tuple[Mapping[str, Any], ...]:
    """The plan of a request: what each place holds, and until when what no erase can remove."""
    return tuple(
        {"store": store, "place": one.place, "found": one.values, "clean_at": one.clean_at, "why_left": one.why_left}
        for store, one in found
    )
