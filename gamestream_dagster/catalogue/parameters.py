"""The parameters of a job: thresholds and lists of prices that its SQL and its outputs' recompute name as `${...}`.

They stand in `job.yaml` under `parameters`, so that a number is changed in one place for both engines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gamestream_dagster.catalogue.errors import CatalogueError, reasons

MOST_TEXT: Final = 60_000
"""Bytes of a list of prices as text: Flink compiles it into one constant, which has at most 65,535."""

_MARKER: Final = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")
_MICROS: Final = 1_000_000

Price = Annotated[Decimal, Field(ge=0, le=1_000_000_000, decimal_places=6)]


class Parameter(BaseModel):
    """One entry of `parameters`: a whole number, or a file of the job's folder with a list of prices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: int | None = Field(default=None, ge=0, strict=True)
    prices: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]*\.yaml$", description="File of the folder.")
    unit: str = Field(min_length=1, description="What the number counts.")
    description: str = Field(min_length=1)

    @model_validator(mode="after")
    def _one_of_two(self) -> Parameter:
        if (self.value is None) == (self.prices is None):
            raise ValueError("give `value`, a whole number, or `prices`, a file with a list of prices")
        return self


class PriceList(BaseModel):
    """The prices that an item may have: by item and currency (ISO 4217) one or several, such as a sale's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(pattern=r"^[0-9A-Za-z._-]{1,40}$", description="Names the list; change it with the prices.")
    prices: dict[
        Annotated[str, Field(pattern=r"^[^|\x00-\x1f]{1,200}$")],
        dict[Annotated[str, Field(pattern=r"^[A-Z]{3}$")], list[Price]],
    ]

    @property
    def text(self) -> str:
        """`|item/currency/millionths|...|`, so that a search for `|item/currency/millionths|` finds a right price."""
        entries = [
            f"{item}/{currency}/{int(price * _MICROS)}"
            for item, by_currency in self.prices.items()
            for currency, listed in by_currency.items()
            for price in listed
        ]
        return f"|{'|'.join(entries)}|"


def parameters_of(described: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """What the placeholders of a job stand for: the texts of `parameters` in its job.yaml, by name.

    Args:
        described: job.yaml as it was read.
        folder: of the job.

    Raises:
        CatalogueError: a parameter, or a list of prices, cannot be used; names the file and the mend.
    """
    listed = described.get("parameters")
    if listed is None:
        return {}
    where = folder / "job.yaml"
    if not isinstance(listed, dict):
        raise CatalogueError(
            f"{where}: `parameters` must hold `name: {{value: ..., unit: ..., description: ...}}` lines"
        )
    found: dict[str, str] = {}
    for name, raw in cast("dict[Any, Any]", listed).items():
        if not _MARKER.fullmatch(f"${{{name}}}"):
            raise CatalogueError(f"{where}: parameter {name!r} needs a name of small letters, digits and _")
        try:
            one = Parameter.model_validate(raw)
        except ValidationError as error:
            raise CatalogueError(f"{where}: parameter {name!r} cannot be used: {reasons(error)}") from error
        found[str(name)] = str(one.value) if one.prices is None else price_list(folder / one.prices).text
    return found


def price_list(path: Path) -> PriceList:
    """The list of prices in a file.

    Raises:
        CatalogueError: it cannot be used; says why.
    """
    try:
        found = PriceList.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise CatalogueError(f"{path} cannot be used: {reasons(error)}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogueError(f"{path} cannot be used: {error}") from error
    if (size := len(found.text.encode())) > MOST_TEXT:
        raise CatalogueError(
            f"{path} has {size:,} bytes of prices, and Flink takes {MOST_TEXT:,} in one constant; remove items that "
            "are no longer sold"
        )
    return found


def with_parameters(sql: str, parameters: Mapping[str, str], where: Path) -> str:
    """A statement of DuckDB with the parameters as text literals, as Flink gets them.

    Raises:
        CatalogueError: a parameter has no value.
    """

    def filled(match: re.Match[str]) -> str:
        if match[1] not in parameters:
            known = ", ".join(parameters) or "none"
            raise CatalogueError(
                f"{where}: ${{{match[1]}}} has no value; the parameters of the job's job.yaml are: {known}"
            )
        return "'" + parameters[match[1]].replace("'", "''") + "'"

    return _MARKER.sub(filled, sql)
