"""Trained models on disk; the newest published one is in use.

A version is a folder `<home>/models/<name>/<Sunday>/` with `model.json`, `card.json` and `card.md`. It is written
beside its place and moved there, so it is whole or not there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from dataclasses import asdict, dataclass, fields
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from gamestream_dagster.settings import Settings
from gamestream_dagster.training.difficulty import DifficultyModel
from gamestream_dagster.training.errors import TrainingError

NAME: Final = "difficulty_model"
MODEL_FILE, CARD_FILE, PAGE_FILE = "model.json", "card.json", "card.md"


class Decision(StrEnum):
    """What became of a trained model."""

    PUBLISHED = "PUBLISHED"  # it is in use from now on
    KEPT_CURRENT = "KEPT_CURRENT"  # the one in use scores better on the same week
    NOT_BETTER_THAN_NAIVE = "NOT_BETTER_THAN_NAIVE"  # the pass rate of the week before predicts as well


@dataclass(frozen=True)
class Card:
    """What is known of a version. Errors are in pass rate, on the held-out week."""

    sunday: str
    decision: Decision
    error: float
    naive_error: float
    current_error: float | None
    """Of the model in use before; None: there was none, or it has other features."""
    current: str | None
    trained_on: int
    held_out: int
    """Numbers of examples: levels on days."""
    days: tuple[str, ...]
    """Settled days that were read, as `<date> v<version>`."""
    features_version: str
    sha256: str
    """Of `model.json`."""


@dataclass(frozen=True)
class Version:
    """A version on disk."""

    card: Card
    folder: Path

    def model(self) -> DifficultyModel:
        """The model, if the file is the one that was trained.

        Raises:
            TrainingError: it was changed, or is gone.
        """
        again = f"train it again: `gamestream models train --sunday {self.card.sunday} --again`"
        try:
            content = (self.folder / MODEL_FILE).read_bytes()
        except OSError as error:
            raise TrainingError(f"{self.folder / MODEL_FILE} cannot be read ({error.strerror})", again) from error
        if hashlib.sha256(content).hexdigest() != self.card.sha256:
            raise TrainingError(f"{self.folder / MODEL_FILE} was changed after it was trained", again)
        return DifficultyModel.from_json(content)


class Registry:
    """The versions of the model of one stack."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home / "models" / NAME

    def versions(self) -> list[Version]:
        """Every version, oldest first.

        Raises:
            TrainingError: a card cannot be read.
        """
        return [_version(path.parent) for path in sorted(self.folder.glob(f"*/{CARD_FILE}"))]

    def version(self, sunday: date) -> Version | None:
        """The version of a Sunday; None: there is none."""
        folder = self.folder / sunday.isoformat()
        return _version(folder) if (folder / CARD_FILE).is_file() else None

    def current(self, before: date | None = None) -> Version | None:
        """The version in use, or that was in use before a Sunday; None: none was published."""
        published = [
            one
            for one in self.versions()
            if one.card.decision is Decision.PUBLISHED and (before is None or one.card.sunday < before.isoformat())
        ]
        return published[-1] if published else None

    def add(self, card: Card, model: bytes, page: str) -> Version:
        """Write a version; one of the same Sunday is replaced."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / f".{card.sunday}-{uuid.uuid4().hex}"
        fresh.mkdir()
        (fresh / MODEL_FILE).write_bytes(model)
        (fresh / PAGE_FILE).write_text(page, encoding="utf-8")
        (fresh / CARD_FILE).write_text(json.dumps(asdict(card), indent=1) + "\n", encoding="utf-8")
        place = self.folder / card.sunday
        if place.exists():
            place.rename(old := fresh.with_name(f"{fresh.name}.old"))
            fresh.rename(place)
            shutil.rmtree(old)
        else:
            fresh.rename(place)
        return Version(card, place)


def _version(folder: Path) -> Version:
    path = folder / CARD_FILE
    try:
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values = {one.name: held[one.name] for one in fields(Card)}
        values |= {"decision": Decision(values["decision"]), "days": tuple(values["days"])}
        return Version(Card(**values), folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path} is no card of a model ({error})",
            f"train again: `gamestream models train --sunday {folder.name} --again`",
        ) from error
