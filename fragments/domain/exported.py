"""Exported observations: what a line of `export_observations` says, and how it comes apart where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fragments.domain.splitting import Fragment, split
from registry.domain.definition import Definition
from schemaevo.kernel.canonical import JsonObject

PROMOTION: Final = "promotion"
"""The origin of observations that hold what fragments of other observations held."""


@dataclass(frozen=True, slots=True)
class Exported:
    """An observation as another store had it, checked member by member.

    `record` is what once arrived, as far as the store kept it: the fields, and over them the fragments, which hold
    the originals of converted values. `counts` says of fields that were fragments how many observations carried
    that value. `source` is name and content hash.
    """

    id: str
    content_id: str
    entity_type: str
    user_id: int
    user_name: str
    entity_key: str
    observed_us: int
    source: tuple[str, str]
    priority: int
    specificity: float
    kind: str | None
    origin: str
    ranks_as: str | None
    record: JsonObject
    counts: Mapping[str, int]


def split_exported(exported: Exported, definition: Definition | None) -> tuple[JsonObject, list[Fragment]]:
    """The fields of the observation, and the fragments, by the definition that is in force here.

    The fields that named user, key and time in the record that once arrived are nothing special any more: they are
    there only if they were declared. A promotion observation stays whole: what it holds is in the fragment or the
    observation that it was made from as well, and would become a second one.
    """
    if exported.origin == PROMOTION:
        return dict(exported.record), []
    fields, fragments = split(exported.record, definition, ())
    return fields, [
        fragment._replace(frequency=exported.counts.get(fragment.key, 1)) for fragment in fragments
    ]
