-- Guards and stamps: the counters of a quota are the count, and never grow past a maximum (I4).
-- Why here: whoever counts in the application counts before somebody else's commit; here the quota's row is locked
-- first and counted after, so that of any number who take the last place exactly one gets it, psql included.
-- What is refused is growth: a counter above its maximum that is also above what it was when this transaction began
-- (the peak). So a revision may take the place of another in two statements, and what was lowered below its usage
-- can still be made less. The row is written even where nothing has changed: a transaction that reads an older
-- snapshot of the database then fails on it, instead of counting by what it sees.
-- Rows are locked by user ascending, after the rows that are counted.
-- Undo and adoption may pass: they set schemaevo.quota_may_pass for their transaction to
-- {"cause": …, "actor_id": …, "actor_name": …}. Whoever sets it leaves an audit event for every maximum that is passed.
CREATE FUNCTION user_schema_quotas_counted_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    affected bigint[];
    pass     jsonb := nullif(current_setting('schemaevo.quota_may_pass', true), '')::jsonb;
    here     bigint := pg_current_xact_id()::text::bigint;
    passing  record;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT n.user_id) INTO affected FROM new_rows AS n WHERE n.user_id IS NOT NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        SELECT array_agg(DISTINCT c.user_id) INTO affected
          FROM (SELECT n.user_id FROM new_rows AS n UNION SELECT o.user_id FROM old_rows AS o) AS c
         WHERE c.user_id IS NOT NULL;
    ELSE
        SELECT array_agg(DISTINCT o.user_id) INTO affected FROM old_rows AS o WHERE o.user_id IS NOT NULL;
    END IF;
    IF affected IS NULL THEN
        RETURN NULL;
    END IF;

    INSERT INTO user_schema_quotas (user_id, max_schemas, max_fields)
        SELECT a.id, m.max_schemas, m.max_fields
          FROM unnest(affected) AS a (id) CROSS JOIN LATERAL user_schema_maxima_v1(a.id) AS m
         WHERE NOT EXISTS (SELECT 1 FROM user_schema_quotas AS q WHERE q.user_id = a.id)
         ORDER BY a.id
        ON CONFLICT (user_id) DO NOTHING;
    PERFORM 1 FROM user_schema_quotas AS q WHERE q.user_id = ANY (affected) ORDER BY q.user_id FOR UPDATE;

    FOR passing IN
        SELECT q.user_id, q.schema_count, q.total_fields, q.max_schemas, q.max_fields,
               c.schema_count AS schemas, c.total_fields AS fields,
               c.schema_count > greatest(q.max_schemas, p.schemas) AS is_schemas
          FROM user_schema_quotas AS q
          JOIN user_schema_counts_v1(affected) AS c ON c.user_id = q.user_id
         CROSS JOIN LATERAL (
            SELECT CASE WHEN q.changed_in = here AND q.changed_at = transaction_timestamp()
                        THEN q.peak_schema_count ELSE q.schema_count END AS schemas,
                   CASE WHEN q.changed_in = here AND q.changed_at = transaction_timestamp()
                        THEN q.peak_total_fields ELSE q.total_fields END AS fields) AS p
         WHERE c.schema_count > greatest(q.max_schemas, p.schemas)
            OR c.total_fields > greatest(q.max_fields, p.fields)
         ORDER BY q.user_id
    LOOP
        IF pass IS NOT NULL THEN
            INSERT INTO audit_events (actor_id, actor_name, action, target_type, target_id, before, after, reason)
            VALUES ((pass ->> 'actor_id')::bigint, coalesce(pass ->> 'actor_name', session_user::text),
                    'quota.pass', 'quota', passing.user_id::text,
                    jsonb_build_object('schemas', passing.schema_count, 'fields', passing.total_fields),
                    jsonb_build_object('schemas', passing.schemas, 'fields', passing.fields,
                                       'max_schemas', passing.max_schemas, 'max_fields', passing.max_fields),
                    coalesce(pass ->> 'cause', ''));
        ELSIF passing.is_schemas THEN
            RAISE EXCEPTION 'User % would have % schemas; at most % are allowed.',
                passing.user_id, passing.schemas, passing.max_schemas
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'user_schema_quotas_max_schemas',
                      DETAIL = passing.schemas::text,
                      TABLE = 'user_schema_quotas';
        ELSE
            RAISE EXCEPTION 'User % would have % fields; at most % are allowed.',
                passing.user_id, passing.fields, passing.max_fields
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'user_schema_quotas_max_fields',
                      DETAIL = passing.fields::text,
                      TABLE = 'user_schema_quotas';
        END IF;
    END LOOP;

    UPDATE user_schema_quotas AS q
       SET schema_count = c.schema_count,
           total_fields = c.total_fields,
           peak_schema_count = greatest(c.schema_count, CASE
               WHEN q.changed_in = here AND q.changed_at = transaction_timestamp()
               THEN q.peak_schema_count ELSE q.schema_count END),
           peak_total_fields = greatest(c.total_fields, CASE
               WHEN q.changed_in = here AND q.changed_at = transaction_timestamp()
               THEN q.peak_total_fields ELSE q.total_fields END),
           changed_in = here,
           changed_at = transaction_timestamp()
      FROM user_schema_counts_v1(affected) AS c
     WHERE q.user_id = c.user_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER schema_registry_quota_insert
    AFTER INSERT ON schema_registry REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();
CREATE TRIGGER schema_registry_quota_update
    AFTER UPDATE ON schema_registry REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();
CREATE TRIGGER schema_registry_quota_delete
    AFTER DELETE ON schema_registry REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();

CREATE TRIGGER user_schema_extensions_quota_insert
    AFTER INSERT ON user_schema_extensions REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();
CREATE TRIGGER user_schema_extensions_quota_update
    AFTER UPDATE ON user_schema_extensions REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();
CREATE TRIGGER user_schema_extensions_quota_delete
    AFTER DELETE ON user_schema_extensions REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();
