"""What can prevent a training."""

from __future__ import annotations

from gamestream_dagster.errors import InstructedError


class TrainingError(InstructedError):
    """A model cannot be trained or read."""


class NotReadyError(TrainingError):
    """The days that it learns from are not settled, or hold too little."""
