"""One observation as reduction sees it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple, Protocol

from registry.domain.definition import Field
from registry.domain.fit import is_admitted
from schemaevo.kernel.canonical import Json

DELETED_KEY = "_deleted"
"""The key by which an observation says that its entity is gone; never a field."""


class Observing(Protocol):
    """What merging reads of an observation, whatever else that holds; `Observed` says what it means."""

    @property
    def ranking_id(self) -> str: ...
    @property
    def observed_us(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def specificity(self) -> int | Decimal: ...
    @property
    def kind(self) -> str | None: ...
    @property
    def fields(self) -> Mapping[str, Json]: ...
    @property
    def ranks_as(self) -> str | None: ...


class Observed(NamedTuple):
    """What an observation says, when, and how far it is trusted.

    `id` and `ranks_as` are lower-case UUID texts, so that comparing them compares the bytes. `specificity`
    went through `exact_number`, and is 0 where none was given. `ranks_as` is set only on promotion
    observations: the id of the observation that the value first came with, in whose place it ranks and is
    named. Such an observation speaks for its field alone: it is not counted, and says nothing about
    deletion or freshness. Where its field is declared otherwise than when it was promoted, it has a say only with
    what ingest would let in: the rest would be a fragment again (`speaks_of`).
    """

    id: str
    observed_us: int
    priority: int
    specificity: int | Decimal
    kind: str | None
    fields: Mapping[str, Json]
    ranks_as: str | None = None

    @property
    def ranking_id(self) -> str:
        """The id that settles ties and stands in provenance."""
        return self.id if self.ranks_as is None else self.ranks_as


def speaks_of(observed: Observed, name: str, field: Field | None) -> bool:
    """Whether an observation has a say about a field as it is declared; None where the type is undeclared."""
    if name not in observed.fields:
        return False
    return observed.ranks_as is None or field is None or is_admitted(observed.fields[name], field)
