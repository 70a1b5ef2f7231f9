"""A dry run of an ingest: what would become of every record, told without writing anything."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from fragments.services.batches import Batches
from fragments.services.erased_records import without_erased
from fragments.services.exported_records import owners_known
from fragments.services.ingest import (
    Counts,
    Input,
    Progress,
    id_conflict,
    observation_of,
    require_ingestible,
    split_of,
    unknown_user,
)
from fragments.services.records import IngestOptions, Record, Rejection
from fragments.services.runs import default_time_of
from registry.cache import load_current_schemas
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.owners import owners_by_username
from snapshots.domain.identity import source_id
from snapshots.selectors import observation_contents


@dataclass(slots=True)
class Foreseen:
    """What an ingest would do now: fragments by field and reason, rejected records by code."""

    counts: Counts = field(default_factory=Counts)
    by_field: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    by_code: Counter[str] = field(default_factory=Counter)


def ingest_foresee(
    *,
    source: Input,
    options: IngestOptions,
    actor: Actor,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Foreseen:
    """Tells what `ingest` would do with this input, if nobody else wrote meanwhile. Nothing is written or locked.

    It is exact: what the input itself repeats is known as well, for which about 150 bytes a record are held.
    Raises: Denied; Invalid as `ingest`.
    """
    actor.require("fragments.ingest")
    require_ingestible(source, options)
    foreseen = Foreseen()
    teller = _Teller(source, options, foreseen)
    observed_at = source.default_observed_at or default_time_of(
        content_hash=source.content_hash, entity_type=options.entity_type, modified_at=source.modified_at
    )
    for batch in Batches(iter(source.lines), options, observed_at):
        rejections = [*batch.parsed.rejections, *teller.tell(batch.parsed.records)]
        foreseen.by_code.update(rejection.code for rejection in rejections)
        foreseen.counts += Counts(records=batch.line_count, rejected=len(rejections))
        on_progress(Progress(foreseen.counts, batch.last_line, tuple(rejections)))
    return foreseen


class _Teller:
    """Remembers what the records before would have stored: owners, and ids of observations with their content."""

    def __init__(self, source: Input, options: IngestOptions, foreseen: Foreseen) -> None:
        self._source = source
        self._options = options
        self._foreseen = foreseen
        self._made_owners: dict[str, int] = {}
        self._seen: dict[int, int] = {}

    def tell(self, records: list[Record]) -> list[Rejection]:
        """Counts what would be stored; gives what would be refused."""
        owned, refused = self._owned(records)
        owned, erased = without_erased(owned, self._options)
        refused += erased
        entity_type = self._options.entity_type
        user_ids = {user_id for _, user_id in owned}
        schemas = load_current_schemas(entity_type=entity_type, user_ids=user_ids)
        news = []
        for record, user_id in owned:
            fields, fragments = split_of(record, schemas[user_id].definition, self._options)
            named = self._source.named_source if record.exported is None else record.exported.source
            source = source_id(user_id, *named)
            new = observation_of(record, user_id, fields, source, None, self._options)
            news.append((record, new, fragments))
        stored = observation_contents([new.id for _, new, _ in news if _number(new.id) not in self._seen])
        observations = duplicates = sightings = 0
        for record, new, fragments in news:
            content = stored.get(new.id)
            known = self._seen.get(_number(new.id)) if content is None else _number(content)
            if known is None:
                self._seen[_number(new.id)] = _number(new.content_id)
                observations += 1
                for fragment in fragments:
                    sightings += fragment.frequency
                    self._foreseen.by_field[fragment.key][fragment.reason] += fragment.frequency
            elif known == _number(new.content_id):
                duplicates += 1
            else:
                refused.append(id_conflict(record))
        self._foreseen.counts += Counts(observations=observations, duplicates=duplicates, fragments=sightings)
        return refused

    def _owned(self, records: list[Record]) -> tuple[list[tuple[Record, int]], list[Rejection]]:
        if self._options.user_id is not None:
            return [(record, self._options.user_id) for record in records], []
        if self._options.is_export:
            owners = owners_known(records, self._made_owners, create_users=self._options.create_users)
            self._made_owners |= owners.missing
            return owners.owned, owners.refused
        names = {record.user_name for record in records if record.user_name is not None}
        known = {**owners_by_username(names)}
        if self._options.create_users:
            for name in names - known.keys():
                # No user has such an id, so that nothing is found that is theirs.
                known[name] = self._made_owners.setdefault(name, -1 - len(self._made_owners))
        owned = [(r, known[r.user_name]) for r in records if r.user_name in known]
        return owned, [unknown_user(r) for r in records if r.user_name not in known]


def _number(identity: str) -> int:
    """Half of an id: enough to tell observations of one input apart, in a fraction of the memory."""
    return int(identity[19:23] + identity[24:], 16)
