"""Which rows of the lists of fragments and of undeclared fields a filter means: for these lists, and for acts in bulk,
which find the same rows later and without a request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, get_args

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from fragments.domain.bands import BANDS, Band
from fragments.domain.inference import ValueType
from fragments.models import BulkList, FragmentReason, LifecycleState, RawFragment, RawFragmentAggregate
from fragments.selectors_fields import fields_of_confidence
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.narrowing import (
    ENTITY_TYPE,
    OWNER,
    Criterion,
    Value,
    id_read,
    number_or_none,
    time_read,
    uuid_or_none,
)
from schemaevo.kernel.owners import owners_by_id
from snapshots.models import EntitySnapshot


@dataclass(frozen=True, slots=True)
class OfEntity(Criterion):
    """The fragments of an entity, whose owner the index begins with. Of an entity that is gone nobody knows the owner
    any more."""

    def where(self, value: Value) -> Q:
        """The rows of this entity. One query."""
        owner = EntitySnapshot.objects.filter(pk=str(value)).values_list("user_id", flat=True).first()
        return Q(entity_id=value) if owner is None else Q(entity_id=value, user_id=owner)


#: The parameter of a list's search.
SEARCH: Final = "q"
#: What a value can be (fragments.domain.inference); nothing but null has no type of most.
TYPES: Final = ("string", "number", "date", "boolean", "array", "object")

FIELD: Final = Criterion("field", _("field"), "fragment_key")
REASON: Final = Criterion("reason", _("reason"), "reason", choices=tuple(FragmentReason.choices))
STATE: Final = Criterion("state", _("state"), "lifecycle_state", choices=tuple(LifecycleState.choices))
VALUE_TYPE: Final = Criterion(
    "value_type", _("type"), "value_type", choices=tuple((name, name) for name in get_args(ValueType))
)
ENTITY: Final = OfEntity("entity", _("id of the entity"), "entity_id", id_read)
DOMINANT_TYPE: Final = Criterion(
    "value_type", _("type of most"), "dominant_type", choices=tuple((name, name) for name in TYPES)
)
SEEN_FROM: Final = Criterion("seen_from", _("last seen from"), "last_seen_at__gte", time_read)
SEEN_TO: Final = Criterion("seen_to", _("last seen up to"), "last_seen_at__lte", time_read)
#: No column: it is computed from the counts of one owner's fields, so that an owner has to be wanted, too.
CONFIDENCE: Final = Criterion(
    "confidence",
    _("confidence"),
    "",
    choices=(
        ("90", _("90 % and more")),
        ("85", _("85 to 90 %")),
        ("70", _("70 to 85 %")),
        ("low", _("below 70 %")),
    ),
)

#: By what each list is narrowed, in the order of its filters.
CRITERIA: Final[Mapping[BulkList, tuple[Criterion, ...]]] = {
    BulkList.FRAGMENTS: (
        *(OWNER, ENTITY_TYPE, FIELD, REASON, STATE, VALUE_TYPE, SEEN_FROM, SEEN_TO, ENTITY),
    ),
    BulkList.FIELDS: (OWNER, ENTITY_TYPE, FIELD, DOMINANT_TYPE, CONFIDENCE, SEEN_FROM, SEEN_TO),
}


def fragments_searched(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """The fragments that a search finds: by the id of an entity, by their number, or by the name of a field."""
    term = term.strip()
    if not term:
        return rows
    if "\0" in term:
        return rows.none()
    if found := uuid_or_none(term):
        return rows.filter(ENTITY.where(str(found)))
    if (number := number_or_none(term)) is not None:
        return rows.filter(pk=number)
    return rows.filter(fragment_key=term)


def fields_searched(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """The undeclared fields that a search finds by their name, and of which anything waits."""
    term = term.strip()
    waiting = fields_waiting(rows)
    if "\0" in term:
        return waiting.none()
    return waiting.filter(fragment_key=term) if term else waiting


def fields_waiting(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Those of which anything waits: the rest was promoted, and only its row is left."""
    return rows.exclude(sample_count=0)


class Matched(NamedTuple):
    """The rows that a filter means, in no order. `is_cut`: the owner has more fields than are looked at for their
    confidence (`fields_of_confidence`), and there may be others."""

    rows: QuerySet[Any]
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class RowFilter:
    """A filter of one of the lists as it was read once: by parameter what is wanted, in the order of the filters.

    An owner stands in it by number, so that it goes on to mean the same one. `is_nonsense`: something was asked for
    that no row has.
    """

    listed: BulkList
    wanted: tuple[tuple[str, Value], ...] = ()
    search: str = ""
    is_nonsense: bool = False

    @classmethod
    def read(cls, listed: BulkList, given: Mapping[str, str]) -> RowFilter:
        """The filter that the parameters of the list's address say."""
        wanted: list[tuple[str, Value]] = []
        search = given.get(SEARCH, "").strip()
        is_nonsense = "\0" in search
        for criterion in CRITERIA[listed]:
            text = given.get(criterion.parameter, "").strip()
            if not text:
                continue
            try:
                wanted.append((criterion.parameter, criterion.value_of(text)))
            except ValueError:
                is_nonsense = True
        return cls(listed, tuple(wanted), search, is_nonsense)

    @classmethod
    def from_json(cls, listed: BulkList, document: Json) -> RowFilter:
        """The filter that `to_json` wrote. Raises: ValueError for one that another release wrote otherwise."""
        if not isinstance(document, dict):
            raise ValueError("a filter is an object")
        known = {criterion.parameter for criterion in CRITERIA[listed]}
        search = document.get(SEARCH, "")
        if document.keys() - known - {SEARCH} or not isinstance(search, str):
            raise ValueError("the filter has parts that are not known")
        wanted = tuple(
            (criterion.parameter, value)
            for criterion in CRITERIA[listed]
            if isinstance(value := document.get(criterion.parameter), (str, int))
        )
        return cls(listed, wanted, search)

    def to_json(self) -> JsonObject:
        """By parameter what is wanted, and the search."""
        return {**dict(self.wanted), **({SEARCH: self.search} if self.search else {})}

    @property
    def is_everything(self) -> bool:
        """Whether every row of the list is meant."""
        return not (self.wanted or self.search or self.is_nonsense)

    def rows(self) -> QuerySet[Any]:
        """The rows of the list that match as of now, in no order."""
        return self.matched().rows

    def rows_among(self, numbers: Collection[int]) -> QuerySet[Any]:
        """Those of these rows that match as of now; no others are looked at."""
        return self.matched(among=numbers).rows

    def matched(self, *, among: Collection[int] | None = None) -> Matched:
        """The rows that match, of all or of these, and whether there may be others."""
        wanted = dict(self.wanted)
        rows: QuerySet[Any]
        if self.listed == BulkList.FRAGMENTS:
            rows = fragments_searched(RawFragment.objects.order_by(), self.search)
        else:
            rows = fields_searched(RawFragmentAggregate.objects.order_by(), self.search)
        if among is not None:
            rows = rows.filter(pk__in=among)
        for criterion in CRITERIA[self.listed]:
            if criterion.parameter in wanted and criterion is not CONFIDENCE:
                rows = rows.filter(criterion.where(wanted[criterion.parameter]))
        if self.is_nonsense:
            return Matched(rows.none())
        if CONFIDENCE.parameter in wanted:
            return self._of_confidence(rows, BANDS[str(wanted[CONFIDENCE.parameter])], among)
        return Matched(rows)

    def _of_confidence(self, rows: QuerySet[Any], band: Band, among: Collection[int] | None) -> Matched:
        if self.owner is None:
            return Matched(rows.none())
        entity_type = dict(self.wanted).get(ENTITY_TYPE.parameter)
        found = fields_of_confidence(
            user_id=self.owner,
            entity_type=None if entity_type is None else str(entity_type),
            band=band,
            among=among,
        )
        return Matched(found.of(rows), found.is_cut)

    @property
    def owner(self) -> int | None:
        """The number of the owner it is narrowed to, if it is."""
        found = dict(self.wanted).get(OWNER.parameter)
        return found if isinstance(found, int) else None

    def in_words(self, owners: Mapping[int, str]) -> list[tuple[str, str]]:
        """By what it narrows, for people; `owners` are names by number."""
        wanted = dict(self.wanted)
        words = [
            (str(criterion.title), _said(criterion, wanted[criterion.parameter], owners))
            for criterion in CRITERIA[self.listed]
            if criterion.parameter in wanted
        ]
        return [*words, *([(_now("search"), self.search)] if self.search else [])]

    def parameters(self, owners: Mapping[int, str]) -> dict[str, str]:
        """What the address of the list says for it. An owner stands in it by name: that wins over any number."""
        said = {
            parameter: owners.get(value, str(value))
            if parameter == OWNER.parameter and isinstance(value, int)
            else str(value)
            for parameter, value in self.wanted
        }
        return {**said, **({SEARCH: self.search} if self.search else {})}


def owners_of(filters: list[RowFilter]) -> Mapping[int, str]:
    """The names of the owners that these filters are narrowed to. One query."""
    return owners_by_id({one.owner for one in filters if one.owner is not None})


def _said(criterion: Criterion, value: Value, owners: Mapping[int, str]) -> str:
    if criterion is OWNER and isinstance(value, int):
        return owners.get(value, f"#{value}")
    return str(dict(criterion.choices).get(str(value), value))
