"""System checks: what must be true of the database before anything runs on it."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

MINIMUM_POSTGRES = 150000

#: Every trigger of the project: (table, name). `migrate` makes them; somebody may have switched one off.
TRIGGERS: frozenset[tuple[str, str]] = frozenset(
    {
        ("audit_events", "audit_events_append_only"),
        ("erasures", "erasures_guarded"),
        ("schema_registry", "schema_registry_immutable"),
        ("schema_registry", "schema_registry_epoch_delete"),
        ("schema_registry", "schema_registry_epoch_insert"),
        ("schema_registry", "schema_registry_epoch_update"),
        ("schema_registry", "schema_registry_quota_delete"),
        ("schema_registry", "schema_registry_quota_insert"),
        ("schema_registry", "schema_registry_quota_update"),
        ("schema_proposal_comments", "schema_proposal_comments_kept"),
        ("schema_proposal_decisions", "schema_proposal_decisions_guarded"),
        ("schema_proposal_trials", "schema_proposal_trials_guarded"),
        ("schema_proposals", "schema_proposals_guarded"),
        ("schemas", "schemas_identity"),
        ("user_schema_extensions", "user_schema_extensions_epoch_delete"),
        ("user_schema_extensions", "user_schema_extensions_epoch_insert"),
        ("user_schema_extensions", "user_schema_extensions_epoch_update"),
        ("user_schema_extensions", "user_schema_extensions_immutable"),
        ("user_schema_extensions", "user_schema_extensions_quota_delete"),
        ("user_schema_extensions", "user_schema_extensions_quota_insert"),
        ("user_schema_extensions", "user_schema_extensions_quota_update"),
        ("user_schema_quotas", "user_schema_quotas_guarded"),
        ("user_schema_quotas", "user_schema_quotas_noticed"),
        ("quota_grants", "quota_grants_applied"),
        ("quota_grants", "quota_grants_guarded"),
        ("quota_requests", "quota_requests_moves"),
        ("observations", "observations_append_only"),
        ("raw_fragments", "raw_fragments_aggregated_delete"),
        ("raw_fragments", "raw_fragments_aggregated_insert"),
        ("raw_fragments", "raw_fragments_aggregated_update"),
        ("raw_fragments", "raw_fragments_deletions"),
        ("raw_fragments", "raw_fragments_moves"),
    }
)


@register(Tags.database)
def postgres_is_recent(databases: Sequence[str] | None, **kwargs: Any) -> list[CheckMessage]:
    """PostgreSQL is 15 or newer: unique keys with NULLS NOT DISTINCT need it."""
    problems: list[CheckMessage] = []
    for alias in databases or []:
        connection = connections[alias]
        connection.ensure_connection()
        version = connection.connection.info.server_version
        if version < MINIMUM_POSTGRES:
            problems.append(
                Error(
                    f"PostgreSQL {version // 10000} is too old.",
                    hint="PostgreSQL 15 or newer is needed.",
                    id="kernel.E001",
                )
            )
    return problems


@register(Tags.database)
def triggers_are_enabled(databases: Sequence[str] | None, **kwargs: Any) -> list[CheckMessage]:
    """Every guard of the project is present and enabled, once its table is and all migrations are applied."""
    problems: list[CheckMessage] = []
    for alias in databases or []:
        with connections[alias].cursor() as cursor:
            cursor.execute(
                """
                SELECT c.relname, t.tgname, t.tgenabled IN ('O', 'A') FROM pg_trigger t
                  JOIN pg_class c ON c.oid = t.tgrelid
                 WHERE NOT t.tgisinternal AND c.relname = ANY(%s) AND pg_table_is_visible(c.oid)
                """,
                [[table for table, _ in TRIGGERS]],
            )
            enabled = {(table, trigger): is_enabled for table, trigger, is_enabled in cursor.fetchall()}
            present = set(connections[alias].introspection.table_names(cursor))
        wrong = [guard for guard in sorted(TRIGGERS) if guard[0] in present and not enabled.get(guard, False)]
        if wrong and _has_unapplied(alias):
            # `migrate` runs these checks before it begins, and it makes what is not there yet.
            wrong = [guard for guard in wrong if guard in enabled]
        problems.extend(
            Error(
                f"The trigger {trigger} of table {table} is missing or switched off.",
                hint=f"ALTER TABLE {table} ENABLE TRIGGER {trigger}; or run `manage.py migrate`.",
                id="kernel.E002",
            )
            for table, trigger in wrong
        )
    return problems


def _has_unapplied(alias: str) -> bool:
    """Whether the database is one of an older release."""
    executor = MigrationExecutor(connections[alias])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
