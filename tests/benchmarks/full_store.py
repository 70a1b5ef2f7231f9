"""A store as large as the pages have to bear: every list has rows, one owner has very many, all has a history.

Filled by SQL, set by set, with the triggers at work: counters, aggregates and notices are what the database itself
makes of the rows. There is less of it at a smaller scale, but of everything more than a page of a list shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection, transaction

from registry.models import SchemaVersion
from schemaevo.kernel.canonical import JsonObject, canonical_json
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import owners_create
from tests.benchmarks.figures import SCALE
from tests.benchmarks.records import ENTITY_TYPE, register, schema_of
from tests.totals import make_totals

#: How much there is at scale 1, and however small the scale: more than fits on a page of a list.
SIZES = {
    "users": (10_000, 60),
    "entities": (100_000, 600),
    "fields": (5_000, 200),
    "jobs": (10_000, 200),
    "events": (100_000, 200),
    "proposals": (500, 60),
    "requests": (2_000, 60),
    "runs": (2_000, 60),
    "letters": (20_000, 60),
    "promotions": (5_000, 60),
    "verifications": (5_000, 60),
    "own_schemas": (2_000, 60),
}
#: Of each entity.
OBSERVATIONS = 10
FRAGMENTS = 10
#: Types beside the one that has records; everybody extends one of them, and some have schemas of their own.
TYPES = 20
#: What an extension adds: of two hundred users, or of all if they are fewer, close to their maximum.
ADDED, ADDED_MANY = 3, 180
#: Rows a statement inserts where a trigger holds what the statement brought.
AT_ONCE = 100_000


@dataclass(frozen=True)
class FullStore:
    """What the pages are asked about: the owner of very much, one of little, and a superuser who looks."""

    large_owner: str
    small_owner: str
    superuser: User


def fill(scale: float = SCALE) -> FullStore:
    """The store, which was empty, is full."""
    count = {name: max(round(full * scale), least) for name, (full, least) in SIZES.items()}
    names = [f"shop-{number:05}" for number in range(count["users"])]
    owners_create(names)
    superuser = User.objects.create_superuser("root", password=None)
    deciders = [User.objects.create_user(f"decider-{n}", is_staff=True) for n in range(3)]
    register()
    for number in range(TYPES):
        register(_small(), entity_type=f"kind_{number:02}")
    large = User.objects.get(username=names[0])
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE owner_at ON COMMIT PRESERVE ROWS AS"
            " SELECT row_number() OVER (ORDER BY username) - 1 AS n, id FROM users WHERE username LIKE 'shop-%%'"
        )
        cursor.execute("ALTER TABLE owner_at ADD PRIMARY KEY (n)")
        cursor.execute("ANALYZE owner_at")
    sizes: dict[str, str | int] = {
        **count,
        "of_one": count["entities"] // 10,
        "many_every": max(count["users"] // 200, 1),
        "types": TYPES,
        "type": ENTITY_TYPE,
        "large": large.pk,
        "root": superuser.pk,
        "decider": deciders[0].pk,
        "asker": deciders[1].pk,
        "version": SchemaVersion.objects.get(entity_type=ENTITY_TYPE).pk,
        "hash": schema_of(large.pk).reduction_hash,
        "small": canonical_json(_small()),
    }
    for statement in _STATEMENTS:
        _execute(statement, sizes)
    for statement, rows in (
        (_EXTENSIONS, count["users"]),
        (_OBSERVATIONS, count["entities"] * OBSERVATIONS),
        (_FRAGMENTS, count["entities"] * FRAGMENTS),
        (_EVERYWHERE, count["users"]),
    ):
        for begin in range(0, rows, AT_ONCE):
            _execute(statement, {**sizes, "begin": begin, "end": min(rows, begin + AT_ONCE) - 1})
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE owner_at")
    make_totals()
    return FullStore(names[0], names[len(names) // 2], superuser)


def _small() -> JsonObject:
    return {"fields": {f"field_{n}": {"type": "string"} for n in range(5)}}


def _execute(statement: str, given: dict[str, str | int]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, given)


_STATEMENTS = (
    # --- the kernel's ledgers; a few jobs are live, and most came to a good end ---
    """
    INSERT INTO jobs (id, kind, target, queue, state, options, done_count, total_count, wanted, wanted_seen, attempts,
                      requested_by_id, requested_at, not_before, started_at, finished_at, error,
                      lease_token, lease_expires_at)
    SELECT md5('job' || n)::uuid, (ARRAY['recompute', 'promote', 'verify', 'enhance'])[1 + n %% 4], 'target ' || n,
           (ARRAY['interactive', 'recompute', 'lifecycle'])[1 + n %% 3], state, '{}', n %% 100, 100, 1, 1, n %% 3,
           CASE WHEN n %% 10 = 0 THEN %(root)s END, clock_timestamp() - n * interval '5 min', now(),
           now() - n * interval '5 min', CASE WHEN state IN ('done', 'failed', 'cancelled') THEN now() END,
           CASE WHEN state = 'failed' THEN 'it failed' ELSE '' END,
           CASE WHEN state = 'running' THEN md5('token' || n)::uuid END,
           CASE WHEN state = 'running' THEN now() + interval '1 h' END
      FROM (SELECT n, CASE WHEN n %% 500 = 1 THEN 'pending' WHEN n %% 2000 = 2 THEN 'running'
                           WHEN n %% 50 = 3 THEN 'failed' WHEN n %% 100 = 4 THEN 'cancelled' ELSE 'done' END AS state
              FROM generate_series(0, %(jobs)s - 1) AS n) AS one
    """,
    """
    INSERT INTO job_log_lines (job_id, level, text)
    SELECT md5('job' || n %% %(jobs)s)::uuid, 'info', 'line ' || n FROM generate_series(0, %(jobs)s * 5 - 1) AS n
    """,
    """
    INSERT INTO audit_events (at, actor_id, actor_name, action, target_type, target_id, after, reason)
    SELECT now() - n * interval '1 min', CASE WHEN n %% 10 = 0 THEN %(root)s END,
           CASE WHEN n %% 10 = 0 THEN 'root' ELSE 'system:bench' END,
           (ARRAY['job.done', 'schema_version.activate', 'promotion.request', 'quota.grant'])[1 + n %% 4],
           (ARRAY['job', 'schema_version', 'promotion', 'quota'])[1 + n %% 4], (n / 10)::text, '{"n": 1}', ''
      FROM generate_series(%(events)s - 1, 0, -1) AS n
    """,
    """
    INSERT INTO verify_outcomes (verification, kind, actor_name, scope, target, is_repair, checked, waiting,
                                 divergent, repaired, examples, seconds, began_at, finished_at)
    SELECT md5('verify' || n / 5)::uuid,
           (ARRAY['snapshots', 'aggregates', 'quotas', 'lifecycle', 'references'])[1 + n %% 5],
           'system:bench', 'sample', '', false, 500, 0, CASE WHEN n %% 500 = 0 THEN 1 ELSE 0 END, 0, '[]', 1.5,
           now() - (%(verifications)s - n) * interval '10 min', now() - (%(verifications)s - n) * interval '10 min'
      FROM generate_series(0, %(verifications)s - 1) AS n
    """,
    # --- what came in ---
    """
    INSERT INTO ingest_runs (name, content_hash, entity_type, options, state, started_by_id, started_at, alive_at,
                             finished_at, record_count, observation_count, duplicate_count, fragment_count,
                             rejected_count, error)
    SELECT 'file-' || n || '.jsonl', md5('content' || n), %(type)s, '{}',
           CASE WHEN n %% 50 = 0 THEN 'failed' ELSE 'done' END,
           %(root)s, now() - n * interval '1 h', now() - n * interval '1 h', now() - n * interval '1 h',
           1000, 900, 50, 300, 50, '' FROM generate_series(1, %(runs)s) AS n
    """,
    """
    INSERT INTO dead_letters (run_id, line_number, code, message, raw)
    SELECT (SELECT min(id) FROM ingest_runs) + n %% %(runs)s, n,
           (ARRAY['unstorable_json', 'id_conflict', 'bad_time'])[1 + n %% 3],
           'it does not read', '{"a'::bytea FROM generate_series(0, %(letters)s - 1) AS n
    """,
    """
    INSERT INTO sources (id, user_id, name, content_hash, created_at)
    SELECT md5('source' || o.n)::uuid, o.id, 'file-' || o.n || '.jsonl', md5('source' || o.n),
           now() - o.n * interval '1 min' FROM owner_at AS o
    """,
    """
    INSERT INTO entity_snapshots (id, user_id, entity_type, entity_key, "values", provenance, merge_state, deleted,
                                  observation_count, last_observation_at, last_computed_observation_id,
                                  schema_version_id, reduction_hash)
    SELECT md5('entity' || e)::uuid, o.id, %(type)s, 'order-' || e, '{"buyer": "somebody", "items": 12}',
           jsonb_build_object('buyer', jsonb_build_array(md5('observation' || e)::uuid),
                              'items', jsonb_build_array(md5('observation' || e)::uuid)),
           '{"fields": {"buyer": [], "items": []}}', e %% 100 = 7, 10, now() - e * interval '1 s',
           md5('observation' || e)::uuid, %(version)s, CASE WHEN e %% 1000 = 3 THEN '' ELSE %(hash)s END
      FROM generate_series(0, %(entities)s - 1) AS e
      JOIN owner_at AS o ON o.n = CASE WHEN e < %(of_one)s THEN 0 ELSE e %% %(users)s END
    """,
    """
    INSERT INTO recompute_failures (entity_id, user_id, entity_type, reduction_hash, job_id, code, place)
    SELECT id, user_id, entity_type, '', md5('job0')::uuid, 'ValueError', 'reducer.py:1'
      FROM entity_snapshots WHERE reduction_hash = ''
    """,
    # --- own schemas: of types that have a global one, and of others ---
    """
    WITH made AS (
        INSERT INTO schemas (entity_type, user_id)
        SELECT CASE WHEN o.n %% 3 = 0 THEN %(type)s ELSE 'own_' || o.n %% 7 END, o.id
          FROM owner_at AS o WHERE o.n < %(own_schemas)s RETURNING id, entity_type, user_id)
    INSERT INTO schema_registry (schema_id, entity_type, user_id, major, minor, patch, definition, definition_hash,
                                 note, is_active, first_activated_at, activated_at)
    SELECT id, entity_type, user_id, 1, number, 0, %(small)s, md5(number::text), '', number = 2,
           CASE WHEN number = 2 THEN now() END, CASE WHEN number = 2 THEN now() END
      FROM made CROSS JOIN generate_series(0, 2) AS number
    """,
    """
    INSERT INTO schema_compatibility (entity_type, mode)
    SELECT 'compatible_' || n, 'FULL' FROM generate_series(1, 60) AS n
    """,
    # --- proposals: all begin as drafts ---
    """
    INSERT INTO schema_proposals (entity_type, title, reason, base_version_id, edits, origin, subject, evidence, state,
                                  author_id, last_editor_id, required_approvals, apply_jobs, undo_jobs, error)
    SELECT v.entity_type, 'Add proposed_' || n, 'many have it', v.id,
           jsonb_build_array(jsonb_build_object('op', 'add_field', 'field', 'proposed_' || n,
                                                'declaration', '{"type": "string"}'::jsonb)),
           'login', '', '{}', 'draft', %(decider)s, %(decider)s, 1, '[]', '[]', ''
      FROM generate_series(1, %(proposals)s) AS n
      JOIN schema_registry AS v ON v.entity_type = 'kind_' || lpad((n %% %(types)s)::text, 2, '0') AND v.user_id IS NULL
    """,
    """
    UPDATE schema_proposals SET state = CASE WHEN id %% 3 = 0 THEN 'withdrawn' ELSE 'in_review' END,
                                submitted_at = now(), expires_at = now() + interval '9 days'
     WHERE id %% 4 <> 0
    """,
    """
    INSERT INTO schema_proposal_comments (proposal_id, written_by_id, text)
    SELECT id, %(decider)s, 'what for? ' || n FROM schema_proposals CROSS JOIN generate_series(1, 5) AS n
    """,
    # --- promotions, and what auto-enhancement did ---
    """
    INSERT INTO promotions (user_id, entity_type, fragment_key, declaration, state, cause, promoted_count, misfit_count,
                            requested_by_id, requested_at, finished_at, note)
    SELECT o.id, %(type)s, 'promoted_' || p, '{"type": "string"}', 'done',
           CASE WHEN p %% 2 = 0 THEN 'login' ELSE 'enhancement' END, p %% 90, p %% 7, %(root)s, now(), now(), ''
      FROM generate_series(1, %(promotions)s) AS p JOIN owner_at AS o ON o.n = p %% %(users)s
    """,
    """
    INSERT INTO enhancements (user_id, entity_type, fragment_key, state, confidence, frequency_total, reasons,
                              promotion_id, attempts, error)
    SELECT user_id, entity_type, fragment_key, 'promoted', 9500, 12, '["named like a date"]', id, 1, '' FROM promotions
    """,
    """
    INSERT INTO enhancement_settings (user_id, entity_type, mode, set_by_id)
    SELECT o.id, %(type)s, (ARRAY['off', 'suggest', 'auto'])[1 + o.n %% 3], %(root)s
      FROM owner_at AS o
    """,
    # --- what was done in bulk ---
    """
    INSERT INTO bulk_acts (verb, listed, filter, options, reason, state, bound_id, last_id, asked_count, matched_count,
                           done_count, skipped, refusals, requested_by_id, requested_by_name, finished_at)
    SELECT 'dismiss', 'undeclared_fields', jsonb_build_object('owner', o.id), '{}', 'they are noise', 'done', 9, 9, 3,
           3, 2, '{"dismissed": 1}', '[]', %(root)s, 'root', now() FROM owner_at AS o
    """,
    # --- whose entities were erased: begun, and ended ---
    """
    INSERT INTO erasures (user_id, entity_type, entity_id, reason, requested_by_id, requested_by_name, names, targets,
                          counts)
    SELECT o.id, %(type)s, md5('erased' || o.n)::uuid, 'it was wrong', %(root)s, 'root', '[]', '{}',
           '{"observations": 12, "entity_snapshots": 1}' FROM owner_at AS o WHERE o.n < %(requests)s
    """,
    """
    UPDATE erasures SET finished_at = now() WHERE finished_at IS NULL
    """,
    # --- who asks for more, and what became of it ---
    """
    INSERT INTO quota_requests (user_id, asked_max_fields, reason, asked_by_id, state, decision_note)
    SELECT o.id, 400, 'they grow', %(asker)s, 'pending', '' FROM owner_at AS o WHERE o.n < %(requests)s
    """,
    """
    UPDATE quota_requests SET state = 'rejected', decided_by_id = %(root)s, decided_at = now() WHERE id %% 4 = 0
    """,
)

#: Everybody extends a type; of the type with records, every tenth, in a way that does not agree with the global schema.
_EXTENSIONS = f"""
    INSERT INTO user_schema_extensions (user_id, entity_type, revision, base_schema_version, additional_fields,
                                        field_overrides, content_hash, is_active, cause, absorbed, note)
    SELECT o.id, CASE WHEN o.n %% 10 = 9 THEN %(type)s ELSE 'kind_' || lpad((o.n %% %(types)s)::text, 2, '0') END, 1,
           '1.0.0',
           (SELECT jsonb_object_agg('extra_' || f, '{{"type": "string"}}'::jsonb)
              FROM generate_series(1, CASE WHEN o.n %% %(many_every)s = 0 THEN {ADDED_MANY} ELSE {ADDED} END) AS f)
           || CASE WHEN o.n %% 10 = 9 THEN '{{"amount": {{"type": "string"}}}}' ELSE '{{}}' END::jsonb,
           '{{}}', md5(o.n::text), true, 'edit', '{{}}', '' FROM owner_at AS o WHERE o.n BETWEEN %(begin)s AND %(end)s
"""

_OBSERVATIONS = """
    INSERT INTO observations (id, user_id, entity_type, entity_id, schema_version_id, source_id, ingest_run_id,
                              observed_at, priority, specificity, kind, origin, content_id, fields, recorded_at)
    SELECT md5('observation' || i)::uuid, o.id, %(type)s, md5('entity' || i %% %(entities)s)::uuid, %(version)s,
           md5('source' || o.n)::uuid, (SELECT min(id) FROM ingest_runs) + i %% %(runs)s,
           now() - i * interval '1 s', 100, 1, (ARRAY['human', 'import', 'sync'])[1 + i %% 3], 'ingest',
           md5('observation' || i)::uuid, '{"buyer": "somebody", "items": 12, "note": "as before"}',
           now() - i / 1000 * interval '1 min'
      FROM generate_series(%(begin)s::int, %(end)s::int) AS i
      JOIN owner_at AS o
        ON o.n = CASE WHEN i %% %(entities)s < %(of_one)s THEN 0 ELSE i %% %(entities)s %% %(users)s END
"""

#: An owner has twenty different fields, and the large one all.
_FRAGMENTS = """
    INSERT INTO raw_fragments (user_id, entity_type, entity_id, fragment_key, source_id, value, value_hash, value_type,
                               value_format, reason, priority, specificity, frequency_count, observation_id,
                               observed_at, last_seen_at, lifecycle_state, promoted_at, archived_at, expires_at)
    SELECT o.id, %(type)s, md5('entity' || e)::uuid,
           'field_' || lpad(((CASE WHEN o.n = 0 THEN e * 10 + j ELSE o.n * 13 + j + e / %(users)s %% 2 * 10 END)
                             %% %(fields)s)::text, 4, '0') || CASE WHEN j = 3 THEN '_id' ELSE '' END,
           md5('source' || o.n)::uuid, to_jsonb('value ' || i), sha256(('value ' || i)::bytea), 'string', 'text',
           CASE WHEN j = 5 THEN 'type_mismatch' ELSE 'unknown_field' END, 100, 1, 1 + i %% 4,
           md5('observation' || e)::uuid, now() - i * interval '1 s', now() - i * interval '1 s', state,
           CASE WHEN state IN ('promoted', 'pending_deletion') THEN now() END,
           CASE WHEN state = 'archived' THEN now() END,
           CASE WHEN state IN ('promoted', 'pending_deletion') THEN now() + interval '1 day' END
      FROM (SELECT i, i %% %(entities)s AS e, i / %(entities)s AS j,
                   CASE i %% 97 WHEN 0 THEN 'archived' WHEN 1 THEN 'promoted' WHEN 2 THEN 'pending_deletion'
                               ELSE 'active' END AS state
              FROM generate_series(%(begin)s::int, %(end)s::int) AS i) AS one
      JOIN owner_at AS o ON o.n = CASE WHEN e < %(of_one)s THEN 0 ELSE e %% %(users)s END
"""

#: One field that every owner has.
EVERYWHERE = "everywhere_at"
_EVERYWHERE = f"""
    INSERT INTO raw_fragments (user_id, entity_type, entity_id, fragment_key, source_id, value, value_hash, value_type,
                               value_format, reason, priority, specificity, frequency_count, observation_id,
                               observed_at, last_seen_at, lifecycle_state)
    SELECT o.id, %(type)s, md5('entity' || o.n + %(users)s)::uuid, '{EVERYWHERE}', md5('source' || o.n)::uuid,
           to_jsonb('2024-05-01'::text), sha256(('everywhere ' || o.n)::bytea), 'date', 'date', 'unknown_field', 100, 1,
           1 + o.n %% 4, md5('observation' || o.n + %(users)s)::uuid, now(), now(), 'active'
      FROM owner_at AS o WHERE o.n BETWEEN %(begin)s AND %(end)s
"""

#: What is to be vacuumed before anything is measured.
TABLES = (
    *(
        "users",
        "jobs",
        "job_log_lines",
        "audit_events",
        "verify_outcomes",
        "ingest_runs",
        "dead_letters",
        "sources",
        "erasures",
    ),
    *("entity_snapshots", "recompute_failures", "observations", "raw_fragments", "raw_fragment_aggregates"),
    *(
        "raw_fragment_aggregate_sources",
        "schemas",
        "schema_registry",
        "user_schema_extensions",
        "schema_epochs",
    ),
    *(
        "user_schema_quotas",
        "quota_requests",
        "quota_notices",
        "schema_proposals",
        "schema_proposal_comments",
    ),
    *("promotions", "enhancements", "enhancement_settings", "bulk_acts", "field_totals", "field_growth"),
)
