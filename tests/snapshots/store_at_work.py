"""One entity type in the real store, and what the model says of it; what a state machine does to both."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.db import connection, transaction

from fragments.models import IngestRun
from registry.domain.times import to_us
from registry.models import ExtensionRevision, SchemaVersion
from registry.selectors import effective_schemas, version_in_force
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, JobState
from snapshots.domain.place import Place
from snapshots.models import EntitySnapshot, Observation
from snapshots.services.corrections import Wanted, field_correct
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recompute import place_at_the_beginning, snapshots_recompute_waiting
from snapshots.services.verify import snapshots_verify
from tests.content import forget_content, stored_content
from tests.factories import SHELL, make_compatibility, make_run, make_user, make_version
from tests.snapshots.corrections import Again, record_again, remembered
from tests.snapshots.deaths import Fate, Late
from tests.snapshots.reduction_model import Said, text_of
from tests.snapshots.store_draws import OWNERS
from tests.snapshots.store_model import ID, OWNER, Feed, Record, Stamp, StoreModel

#: So small that histories grow past it.
INLINE_MAX = 4

_kinds = itertools.count()

Row = dict[str, Any]

#: What a row says of how and when it was computed.
STAMPS = ("user_id", "schema_version_id", "extension_revision_id", "reduction_hash", "computed_at")


class StoreAtWork:
    """The services side by side with the model, which each step is compared with."""

    fate: ClassVar[Fate]

    def _open(self, seed: int) -> None:
        forget_content()
        self.kind = f"kind{next(_kinds)}"
        made = [make_user() for _ in range(OWNERS)]
        self.owners = [user.pk for user in made]
        self.users = made
        self.model = StoreModel(self.kind, {user.username: user.pk for user in made}, INLINE_MAX)
        self.dice = random.Random(seed)
        self.place: Place | None = None
        self.late: tuple[Late, int, list[Record], Feed] | None = None
        self.sent: list[tuple[Record, Feed]] = []
        #: What happened, as far as it made a difference to what is stored: the schemas in force, and what came under
        #: each of them.
        self.past: list[tuple[tuple[list[int], list[int]], list[tuple[Record, Feed]], list[Again]]] = []
        self.rows: dict[str, Row] = {}
        self.counted: Counter[UUID] = Counter()
        make_compatibility(entity_type=self.kind)
        self._schemas_moved()

    def _records(self, batch: Sequence[tuple[int, Record]], feed: Feed) -> list[Record]:
        """The records of the owners of whom nothing is on its way."""
        records: list[Record] = [{OWNER: self.users[owner].username, **record} for owner, record in batch]
        if feed.names_its_records:
            records = [
                {**record, ID: hashlib.sha256(text_of(record).encode()).hexdigest()} for record in records
            ]
        return [record for record in records if self._is_free(record)]

    def _is_free(self, record: Record) -> bool:
        return self.late is None or record[OWNER] != self.users[self.late[1]].username

    def _ingest(self, records: list[Record], feed: Feed, batch_size: int) -> None:
        records = [record for record in records if self._is_free(record)]
        if records:
            run = self._run_ingest(records, feed, batch_size)
            new = self._took_in(records, feed, batch_size)
            counts = run.observation_count, run.duplicate_count, run.rejected_count
            assert counts == (new, len(records) - new, 0)

    def _run_ingest(self, records: list[Record], feed: Feed, batch_size: int) -> IngestRun:
        return make_run(
            records=[dict(record) for record in records],
            source=feed.source,
            entity_type=self.kind,
            batch_size=batch_size,
            **feed.options,
        )

    def _took_in(self, records: list[Record], feed: Feed, batch_size: int) -> int:
        parts = [records[start : start + batch_size] for start in range(0, len(records), batch_size)]
        new = sum(self.model.takes_in(part, feed) for part in parts)
        known = {text_of(record) for record, origin in self.sent if origin == feed}
        self.sent += [(record, feed) for record in records if text_of(record) not in known]
        self.past[-1][1].extend((record, feed) for record in records)
        self.rows = self._read()
        return new

    def _correct(self, entity: str, field: str, value: Any) -> None:
        """A field of an entity is corrected, or that is refused; nothing else changes."""
        user_id = self.model.owner_of[entity]
        if self.late is not None and user_id == self.users[self.late[1]].pk:
            # It would wait for the ingest that is on its way.
            return
        try:
            done = field_correct(
                entity_id=entity, wanted=Wanted(field, value), reason="a mistake", actor=SHELL
            )
        except DomainError:
            assert self._read() == self.rows
            return
        row = Observation.objects.select_related("source", "entity").get(pk=UUID(done.observation_id))
        self.model.corrects(
            entity,
            Said(
                str(row.pk),
                to_us(row.observed_at),
                row.priority,
                Decimal(repr(row.specificity)),
                row.kind,
                row.fields,
            ),
        )
        self.past[-1][2].append(remembered(row))
        before, self.rows = self.rows, self._read()
        assert {identity for identity in before if before[identity] != self.rows[identity]} == {entity}

    def _declare(self, owner: int | None, document: Any) -> None:
        user = None if owner is None else self.users[owner]
        self._change(owner, lambda: make_version(document=document, entity_type=self.kind, user=user))

    def _change(self, owner: int | None, act: Callable[[], object]) -> None:
        """The schema of that owner changes, or the change is refused; no snapshot does."""
        if self.late is not None and owner in (None, self.late[1]):
            # It would wait for the ingest that is on its way.
            return
        with suppress(DomainError):
            act()
        self._schemas_moved()
        assert self._read() == self.rows

    def _schemas_moved(self) -> None:
        self.schemas = effective_schemas(entity_type=self.kind, user_ids=self.owners)
        self.model.schemas_are(self.schemas)
        in_force = (ids_in_force(SchemaVersion, self.kind), ids_in_force(ExtensionRevision, self.kind))
        if not self.past or self.past[-1][0] != in_force:
            self.past.append((in_force, [], []))

    def _in_force(self, owner: int | None) -> SchemaVersion | None:
        user_id = None if owner is None else self.owners[owner]
        return version_in_force(entity_type=self.kind, user_id=user_id)

    def _chunk(self, owner: int | None, *, commits: bool) -> None:
        only_owner = None if owner is None else self.owners[owner]
        with transaction.atomic():
            place = self.place
            if place is None or only_owner is not None:
                place = place_at_the_beginning(entity_type=self.kind, only_owner=only_owner)
            chunk = snapshots_recompute_waiting(entity_type=self.kind, place=place, only_owner=only_owner)
            transaction.set_rollback(not commits)
        if commits and only_owner is None:
            self.place = chunk.place.next_pass() if chunk.is_over else chunk.place

    def _work(self, job: Job, work: Callable[[], object], *, is_refresh: bool = False) -> set[str]:
        """What somebody does for a job; what is counted for it is what has really been done."""
        Job.objects.filter(state=JobState.RUNNING).update(lease_expires_at="2020-01-01T00:00:00Z")
        changed = self._recomputes(work, is_refresh=is_refresh)
        self.counted[job.pk] += len(changed)
        job.refresh_from_db()
        assert job.done_count == self.counted[job.pk]
        assert job.state in (*LIVE_JOB_STATES, JobState.DONE)
        if job.state == JobState.DONE:
            assert job.result == {"recomputed": job.done_count}
        return changed

    def _recomputes(self, act: Callable[[], object], *, is_refresh: bool = False) -> set[str]:
        """The entities that this computes anew: to refresh, any; else none but those that waited."""
        before, waiting = self.rows, self.model.waiting()
        act()
        self.rows = self._read()
        changed = {entity for entity, row in self.rows.items() if row != before[entity]}
        assert is_refresh or changed <= waiting
        self.model.recomputed(changed)
        return changed

    def _compare_rows(self) -> None:
        assert self.rows.keys() == self.model.reduced_by.keys()
        for entity, row in self.rows.items():
            stamp: Stamp = row["schema_version_id"], row["extension_revision_id"], row["reduction_hash"]
            if row["reduction_hash"]:
                right = self._texts(self.model.row_of(entity, stamp))
                assert row["content"] == right, entity

    def _live(self) -> list[Job]:
        """The recomputations that are owed."""
        live = Job.objects.filter(kind=RECOMPUTE, state__in=LIVE_JOB_STATES).order_by("target")
        return list(live.filter(target__regex=f"^{self.kind}(:|$)"))

    def _read(self) -> dict[str, Row]:
        return {
            str(row.pk): {
                **{name: getattr(row, name) for name in STAMPS},
                "content": self._texts(
                    {
                        "values": row.values,
                        "provenance": row.provenance,
                        "deleted": row.deleted,
                        "observation_count": row.observation_count,
                        "last_observation_at": row.last_observation_at and to_us(row.last_observation_at),
                        "last_computed_observation_id": row.last_computed_observation_id
                        and str(row.last_computed_observation_id),
                        "merge_state": row.merge_state,
                    }
                ),
            }
            for row in EntitySnapshot.objects.filter(entity_type=self.kind).order_by("user", "pk")
        }

    @staticmethod
    def _texts(content: Row) -> dict[str, str]:
        return {column: text_of(value) for column, value in content.items()}

    def _come_to_an_end(self) -> None:
        """Nothing waits in the end, and the same in any other order and batches comes to the same (I2)."""
        while owed := self._live():
            job = self.dice.choice(owed)
            self._work(job, partial(run_job, str(job.pk)))
        assert not self.model.waiting()
        self._compare_rows()
        verified = snapshots_verify(list(self.rows))
        assert (verified.checked, verified.waiting, verified.divergent) == (len(self.rows), 0, [])
        content = content_whenever_computed()
        forget_content()
        for in_force, came, corrected in self.past:
            put_in_force(self.kind, *in_force)
            again = [*came, *self.dice.choices(came, k=3)] if came else []
            self.dice.shuffle(again)
            is_first = self.dice.random() < 0.5
            record_again(corrected if is_first else [])
            while again:
                several = again[: self.dice.randint(1, 6)]
                del again[: len(several)]
                by_feed: dict[Feed, list[Record]] = defaultdict(list)
                for record, feed in several:
                    by_feed[feed].append(record)
                for feed, records in by_feed.items():
                    self._run_ingest(records, feed, 1000)
            record_again([] if is_first else corrected[::-1])
            if self.dice.random() < 0.3:
                with transaction.atomic():
                    place = place_at_the_beginning(entity_type=self.kind)
                    snapshots_recompute_waiting(entity_type=self.kind, place=place)
        run_job(str(job_request(kind=RECOMPUTE, target=self.kind).pk))
        assert content_whenever_computed() == content


def ids_in_force(model: type[SchemaVersion | ExtensionRevision], entity_type: str) -> list[int]:
    """The rows that are in force for a type."""
    found = model.objects.filter(entity_type=entity_type, is_active=True)
    return sorted(found.values_list("pk", flat=True))


def put_in_force(entity_type: str, versions: list[int], revisions: list[int]) -> None:
    """Those and no others are in force: the very rows that were so once, which no service would bring back."""
    with connection.cursor() as cursor:
        for table, ids in (("schema_registry", versions), ("user_schema_extensions", revisions)):
            cursor.execute(
                f"UPDATE {table} SET is_active = (id = ANY(%s)) WHERE entity_type = %s", [ids, entity_type]
            )


def content_whenever_computed() -> dict[str, list[Any]]:
    """What is stored, but for which of the schemas that reduce alike a snapshot was last computed under, and for counts
    of nothing, which stay where fragments of a source that is retracted now were counted once."""
    content = stored_content()
    for table, count in (
        ("raw_fragment_aggregates", "sample_count"),
        ("raw_fragment_aggregate_sources", "row_count"),
    ):
        content[table] = [row for row in content[table] if json.loads(row)[count]]
    rows = [json.loads(row) for row in content["entity_snapshots"]]
    for row in rows:
        del row["schema_version_id"], row["extension_revision_id"]
    return {**content, "entity_snapshots": rows}
