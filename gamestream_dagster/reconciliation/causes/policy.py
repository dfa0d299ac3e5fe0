"""The accepted causes, from one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.model.values import Cause, Difference, DifferenceKind

NAMES_ERASED = "erase_request"
"""Name in the evidence of a row that shows an erased player: the number of the request."""
POLICY_FILE = Path(__file__).with_name("policy.yaml")


def _never_unexplained(causes: frozenset[Cause]) -> frozenset[Cause]:
    if Cause.UNEXPLAINED in causes:
        raise ValueError("UNEXPLAINED cannot be accepted: its cause is unknown")
    return causes


Accepted = Annotated[frozenset[Cause], AfterValidator(_never_unexplained)]


class Policy(BaseModel):
    """The causes that make a difference acceptable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accept: Accepted = Field(description="For every board.")
    boards: dict[str, Accepted] = Field(default={}, description="For one board, in place of `accept`.")

    def accepts(self, difference: Difference) -> bool:
        """Whether every alternative consists of accepted causes alone.

        Never for a stale board, nor for a row that still shows an erased player.
        """
        if difference.kind is DifferenceKind.STALE or NAMES_ERASED in difference.evidence:
            return False
        accepted = self.boards.get(difference.board, self.accept)
        return not difference.unexplained and all(accepted.issuperset(causes) for causes in difference.alternatives)

    def judge(self, differences: Sequence[Difference]) -> list[Difference]:
        """The differences with `accepted` filled in."""
        return [replace(one, accepted=self.accepts(one)) for one in differences]


def load_policy(path: Path = POLICY_FILE, boards: Mapping[str, object] | None = None) -> Policy:
    """Read the policy.

    Args:
        path: the file.
        boards: names allowed under `boards`; None: not checked.

    Raises:
        BoardNotUsableError: the file is not a policy; says what is wrong in it.
    """
    try:
        found = Policy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise BoardNotUsableError(f"{path} is not a policy of causes: {error}") from error
    unknown = sorted(found.boards.keys() - boards.keys()) if boards is not None else []
    if unknown:
        raise BoardNotUsableError(f"{path}: there is no board {unknown[0]!r}; fix the name under `boards`.")
    return found
