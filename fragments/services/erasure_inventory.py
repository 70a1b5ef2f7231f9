"""What belongs to an owner or an entity, table by table: the one list that erasure goes by.

Every table of the database, and every column that can hold text, stands here with what becomes of it; a test compares
the list with the database. What a new release adds gets its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.contrib.admin.models import LogEntry
from django.db.models import Model

from fragments.models import (
    BulkAct,
    Enhancement,
    EnhancementSetting,
    FieldDismissal,
    IgnoredPattern,
    IngestRun,
    Promotion,
    RawFragment,
    RawFragmentAggregate,
    RawFragmentAggregateSource,
)
from registry.models import (
    ExtensionRevision,
    Proposal,
    ProposalComment,
    ProposalDecision,
    ProposalNotice,
    ProposalTrial,
    QuotaGrant,
    QuotaNotice,
    QuotaRequest,
    Schema,
    SchemaEpoch,
    SchemaVersion,
    UserQuota,
)
from schemaevo.kernel.models import AuditEvent, Erasure, Job, JobLogLine, Pause, SavedView, VerifyOutcome
from snapshots.models import Correction, EntitySnapshot, Observation, RecomputeFailure, Retraction, Source


@dataclass(frozen=True, slots=True)
class Owned:
    """Rows of this table go with the owner, or with the entity, that the column names."""

    model: type[Model]
    column: str

    @property
    def table(self) -> str:
        """The table's name."""
        return self.model._meta.db_table


@dataclass(frozen=True, slots=True)
class Cleared:
    """Rows of this table stay; these columns no longer name whom an erasure erased. `documents` are JSON; what is
    `written` by people may also name an entity of an owner by its key."""

    model: type[Model]
    texts: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    written: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The table's name."""
        return self.model._meta.db_table

    @property
    def key(self) -> str:
        """The column that is the table's primary key."""
        return str(self.model._meta.pk.column)


#: What an entity consists of, in the order in which it goes. The two that may be many rows an entity go in pieces.
MANY_OF_ENTITY: Final = (Owned(RawFragment, "entity_id"), Owned(Observation, "entity_id"))
FEW_OF_ENTITY: Final = (Owned(RecomputeFailure, "entity_id"), Owned(Correction, "entity_id"))
ENTITY: Final = Owned(EntitySnapshot, "id")

#: What an owner has beside entities, in the order in which it goes: what refers to a row goes before it.
OF_OWNER: Final = (
    Owned(EnhancementSetting, "user_id"),
    Owned(Enhancement, "user_id"),
    Owned(Promotion, "user_id"),
    Owned(FieldDismissal, "user_id"),
    Owned(IgnoredPattern, "user_id"),
    Owned(QuotaGrant, "user_id"),
    Owned(QuotaRequest, "user_id"),
    Owned(ExtensionRevision, "user_id"),
    Owned(SchemaVersion, "user_id"),
    Owned(Schema, "user_id"),
    # What is deleted above raises epochs and counts: these rows come last.
    Owned(SchemaEpoch, "user_id"),
    Owned(UserQuota, "user_id"),
    Owned(QuotaNotice, "user_id"),
    Owned(ProposalNotice, "login_id"),
    Owned(SavedView, "login_id"),
    Owned(RawFragmentAggregateSource, "user_id"),
    Owned(RawFragmentAggregate, "user_id"),
    Owned(Retraction, "user_id"),
    Owned(Source, "user_id"),
)

#: Filters of lists in which an owner is named, by number too; in which an entity is, by its key or its id; and what is
#: searched for, which may be any of them.
OWNER_FILTERS: Final = frozenset({"owner", "who"})
KEY_FILTERS: Final = frozenset({"key"})
ENTITY_FILTERS: Final = frozenset({"entity"})
SEARCH: Final = "q"

#: Columns that hold the name of somebody who did something, as it was then.
NAMED: Final = frozenset({"actor_name", "granted_by_name", "made_by_name", "requested_by_name", "paused_by"})

#: Where people wrote of whom they liked, or a name was kept as it was then.
CLEARED: Final = (
    Cleared(AuditEvent, ("actor_name", "reason"), ("before", "after"), written=("reason",)),
    Cleared(Job, ("error",), ("options", "cursor", "result")),
    Cleared(JobLogLine, ("text",)),
    Cleared(Pause, ("paused_by", "reason"), written=("reason",)),
    Cleared(VerifyOutcome, ("actor_name",), ("examples",)),
    Cleared(Erasure, ("reason", "requested_by_name"), written=("reason",)),
    Cleared(LogEntry, ("object_repr", "change_message"), written=("object_repr", "change_message")),
    Cleared(SchemaVersion, ("note",), written=("note",)),
    Cleared(ExtensionRevision, ("note",), written=("note",)),
    Cleared(QuotaRequest, ("reason", "decision_note"), written=("reason", "decision_note")),
    Cleared(QuotaGrant, ("note", "granted_by_name"), written=("note",)),
    Cleared(Proposal, ("title", "reason", "error"), written=("title", "reason")),
    Cleared(ProposalDecision, ("note",), written=("note",)),
    Cleared(ProposalComment, ("text",), written=("text",)),
    Cleared(ProposalTrial, ("error",)),
    Cleared(IngestRun, ("name", "error"), written=("name",)),
    Cleared(Promotion, ("note",), written=("note",)),
    Cleared(Enhancement, ("error",)),
    Cleared(BulkAct, ("reason", "requested_by_name"), ("filter", "refusals"), written=("reason",)),
    Cleared(FieldDismissal, ("reason", "made_by_name"), written=("reason",)),
    Cleared(IgnoredPattern, ("reason", "made_by_name"), written=("reason",)),
    Cleared(Correction, ("reason", "made_by_name"), written=("reason",)),
    Cleared(Retraction, ("reason", "undo_reason"), written=("reason", "undo_reason")),
)

#: What is done about the other columns that may say something of an owner.
OTHERWISE: Final[Mapping[str, str]] = {
    "dead_letters.code": "letters of the owner or the entity are deleted",
    "dead_letters.message": "letters of the owner or the entity are deleted",
    "dead_letters.raw": "letters of the owner or the entity are deleted",
    "schema_proposal_trials.result": "samples of the owner or the entity are taken out",
    "field_growth.fragment_key": "fields that nobody else has go",
    "field_growth.owners_by_day": "fields that nobody else has go",
    "field_totals.fragment_key": "fields that nobody else has go",
    "erasures.names": "emptied at the end",
    "erasures.targets": "emptied at the end",
    "saved_views.name": "views that name the owner or the entity, in a filter or by their own name, are deleted",
    "saved_views.query": "views that name the owner or the entity, in a filter or by their own name, are deleted",
    "users.username": "the row stays as a shell, since its number is referred to",
    "users.password": "made unusable",
    "users.email": "emptied",
    "users.first_name": "emptied",
    "users.last_name": "emptied",
    "users.time_zone": "set to UTC",
    "django_session.session_key": "sessions of the login are deleted",
    "django_session.session_data": "sessions of the login are deleted",
    **{
        f"{table}.{column}": "rows of the user name are deleted"
        for table in ("axes_accessattempt", "axes_accessfailurelog", "axes_accesslog")
        for column in ("user_agent", "username", "http_accept", "path_info")
    },
    "axes_accesslog.session_hash": "rows of the user name are deleted",
    "axes_accessattempt.get_data": "rows of the user name are deleted",
    "axes_accessattempt.post_data": "rows of the user name are deleted",
}

_WORDS: Final = "the program's own words"
_OF_TYPE: Final = "a name of an entity type, which many owners share"
_GLOBAL: Final = "of the global schema, which is everybody's"
_OF_DJANGO: Final = "of Django, made by migrations"

#: Columns that can hold text and say nothing of an owner, and why.
HARMLESS: Final[Mapping[str, str]] = {
    "audit_events.action": _WORDS,
    "audit_events.target_type": _WORDS,
    "audit_events.target_id": "a number, or an entity type",
    "bulk_acts.options": "times and switches",
    "bulk_acts.skipped": "codes, and how many",
    "daily_figures.figure": _WORDS,
    "field_totals.dominant_type": _WORDS,
    "field_totals.format_counts": "names of formats, and numbers",
    "field_totals.type_counts": "names of types, and numbers",
    "django_admin_log.object_id": "a number",
    "erasures.counts": "names of tables, and numbers",
    "ingest_runs.content_hash": "the hash of a whole file; by it a file that comes again keeps its time",
    "ingest_runs.options": "names of fields as whoever ran it gave them, and the owner's number",
    "jobs.target": "a number, or an entity type",
    "saved_views.list_name": _WORDS,
    "schema_proposals.apply_jobs": "ids of jobs",
    "schema_proposals.undo_jobs": "ids of jobs",
    "schema_proposals.edits": _GLOBAL,
    "schema_proposals.evidence": "names of fields that several owners have, and how many; nobody is named",
    "schema_proposals.subject": _GLOBAL,
    "schema_proposal_effects.field": _GLOBAL,
    "verify_outcomes.target": "a number, or an entity type",
    **dict.fromkeys(
        (
            "schema_proposal_decisions.content_hash",
            "schema_proposal_trials.content_hash",
            "schema_proposals.content_hash",
        ),
        _GLOBAL,
    ),
    **dict.fromkeys(
        (
            "erasures.entity_type",
            "field_growth.entity_type",
            "field_totals.entity_type",
            "ingest_runs.entity_type",
            "schema_compatibility.entity_type",
            "schema_proposal_effects.entity_type",
            "schema_proposals.entity_type",
        ),
        _OF_TYPE,
    ),
    **dict.fromkeys(
        (
            "bulk_acts.listed",
            "bulk_acts.state",
            "bulk_acts.verb",
            "ingest_runs.state",
            "job_log_lines.level",
            "jobs.kind",
            "jobs.queue",
            "jobs.state",
            "schema_compatibility.mode",
            "schema_proposal_decisions.verdict",
            "schema_proposal_effects.act",
            "schema_proposal_trials.act",
            "schema_proposal_trials.state",
            "schema_proposals.origin",
            "schema_proposals.state",
            "verify_outcomes.kind",
            "verify_outcomes.scope",
        ),
        _WORDS,
    ),
    **dict.fromkeys(
        (
            "auth_group.name",
            "auth_permission.codename",
            "auth_permission.name",
            "django_content_type.app_label",
            "django_content_type.model",
            "django_migrations.app",
            "django_migrations.name",
        ),
        _OF_DJANGO,
    ),
}
