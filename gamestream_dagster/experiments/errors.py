"""Errors of the experiments; each message is one sentence with what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import InstructedError


class ExperimentError(InstructedError):
    """A readout that cannot be made."""


class PlanError(ExperimentError):
    """A plan that cannot be used; the message names the place in it."""


class PlayersError(ExperimentError):
    """Players that cannot be compared: the file is malformed, or has values that are none of its columns."""


class ExperimentCertificateError(ExperimentError):
    """A certificate that cannot be read or recomputed."""
