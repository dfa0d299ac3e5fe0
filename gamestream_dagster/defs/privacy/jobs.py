"""Export and erase of a player, by the number of a request: no id stands in a run's config, metadata or log."""

import dagster as dg
from pydantic import Field

from gamestream_dagster.components.erase_sensor import erase_sensor
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.privacy import Privacy

INTERVAL_SECONDS = 60
_COLUMNS = ("store", "place", "found", "removed", "left", "clean at")


class RequestConfig(dg.Config):
    """Which request."""

    request: int = Field(ge=1, description="Number of the request, as `gamestream player request ID` prints it.")


@dg.op(description="Write everything of the player of a request into a zip in the folder `privacy` of the home.")
def export_player(context: dg.OpExecutionContext, config: RequestConfig, privacy: dg.ResourceParam[Privacy]) -> None:
    """One export; its metadata says how much it holds."""
    with explained("export a player", retries=0):
        made = privacy.export(config.request)
    context.add_output_metadata({"values": made.values, "places": made.places, "sha256": made.sha256})


@dg.op(description="Erase the player of a request from every store, and certify it; a rerun goes on.")
def erase_player(context: dg.OpExecutionContext, config: RequestConfig, privacy: dg.ResourceParam[Privacy]) -> None:
    """One erase; its certificate is its metadata. It fails where something is left that nothing removes."""
    with explained("erase a player", retries=0):
        made = privacy.erase(config.request, context.log.info)
    rows = [
        (one.store, one.place, one.found, one.removed, one.left, f"{one.clean_at:%Y-%m-%d}" if one.clean_at else "")
        for one in made.places
    ]
    metadata = {
        "verdict": made.verdict.value,
        "certificate": markdown_table(_COLUMNS, rows),
        "digest": made.digest,
    }
    if made.verdict.value == "INCOMPLETE":
        told = "; ".join(f"{one.place}: {one.why_left}" for one in made.places if one.left and not one.clean_at)
        raise dg.Failure(f"Something is left that nothing removes: {told}", metadata=metadata, allow_retries=False)
    context.add_output_metadata(metadata)


@dg.job(
    name="privacy_export",
    description="Exports the player of a request.",
    tags={"gamestream/part": "privacy"},
)
def privacy_export() -> None:
    """The op alone."""
    export_player()


@dg.job(
    name="privacy_erase",
    description="Erases the player of a request.",
    tags={"gamestream/part": "privacy"},
)
def privacy_erase() -> None:
    """The op alone."""
    erase_player()


erase_requests = erase_sensor(INTERVAL_SECONDS)
