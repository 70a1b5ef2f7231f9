ALTER TABLE schema_registry ADD CONSTRAINT schema_registry_one_active EXCLUDE USING btree (entity_type WITH =, COALESCE(user_id, ('-1'::integer)::bigint) WITH =) WHERE (is_active) DEFERRABLE;

ALTER TABLE user_schema_extensions ADD CONSTRAINT user_schema_extensions_one_active EXCLUDE USING btree (user_id WITH =, entity_type WITH =) WHERE (is_active) DEFERRABLE;

CREATE OR REPLACE FUNCTION public.audit_events_append_only_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'The audit log is append-only; % of event % is refused.', TG_OP, OLD.id
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'audit_events_append_only',
              TABLE = TG_TABLE_NAME;
END
$function$;

CREATE OR REPLACE FUNCTION public.audit_events_append_only_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND (NEW.id, NEW.at, NEW.actor_id, NEW.action, NEW.target_type, NEW.target_id)
           IS NOT DISTINCT FROM (OLD.id, OLD.at, OLD.actor_id, OLD.action, OLD.target_type, OLD.target_id)
       AND (erasure_tells_v1(OLD)
            OR erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{actor_name,before,after,reason}'))
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'The audit log is append-only; % of event % is refused.', TG_OP, OLD.id
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'audit_events_append_only',
              TABLE = TG_TABLE_NAME;
END
$function$;

CREATE OR REPLACE FUNCTION public.erasure_clears_v1(before jsonb, after jsonb, texts text[])
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    marked CONSTANT bigint := erasure_marked_v1();
BEGIN
    RETURN marked IS NOT NULL AND before - texts = after - texts AND EXISTS (
        SELECT 1
          FROM erasures AS e
         CROSS JOIN LATERAL jsonb_array_elements_text(e.names) AS called (name)
         CROSS JOIN LATERAL unnest(texts) AS told (text_column)
         WHERE e.id = marked AND e.finished_at IS NULL
           AND (strpos(lower(before ->> told.text_column), lower(called.name)) > 0
                -- As JSON writes it.
                OR strpos(lower(before ->> told.text_column),
                          lower(substr(to_jsonb(called.name)::text, 2, length(to_jsonb(called.name)::text) - 2))) > 0));
END
$function$;

CREATE OR REPLACE FUNCTION public.erasure_marked_v1()
 RETURNS bigint
 LANGUAGE sql
 STABLE
AS $function$
    SELECT CASE WHEN current_setting('schemaevo.erasing', true) ~ '^[0-9]{1,18}$'
                THEN current_setting('schemaevo.erasing', true)::bigint END
$function$;

CREATE OR REPLACE FUNCTION public.erasure_reaches_v1(owner bigint, entity uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    marked CONSTANT bigint := erasure_marked_v1();
BEGIN
    RETURN marked IS NOT NULL AND EXISTS (
        SELECT 1 FROM erasures AS e
         WHERE e.id = marked AND e.finished_at IS NULL AND e.user_id = owner
           AND (e.entity_id IS NULL OR e.entity_id = entity));
END
$function$;

CREATE OR REPLACE FUNCTION public.erasure_tells_v1(event audit_events)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    marked CONSTANT bigint := erasure_marked_v1();
BEGIN
    RETURN marked IS NOT NULL AND EXISTS (
        SELECT 1 FROM erasures AS e
         WHERE e.id = marked AND e.finished_at IS NULL
           AND (coalesce(e.targets -> event.target_type ? event.target_id, false)
                OR (e.entity_id IS NULL
                    AND (event.actor_id = e.user_id
                         OR e.user_id::text IN (event.before ->> 'owner', event.after ->> 'owner')
                         OR (event.target_type = 'snapshot' AND EXISTS (
                                SELECT 1 FROM entity_snapshots AS s
                                 WHERE s.user_id = e.user_id AND s.id = erasure_uuid_v1(event.target_id)))))
                OR e.entity_id::text IN (event.before ->> 'entity', event.after ->> 'entity')));
END
$function$;

CREATE OR REPLACE FUNCTION public.erasure_uuid_v1(text_of_it text)
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN text_of_it ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN text_of_it::uuid END
$function$;

CREATE OR REPLACE FUNCTION public.erasures_guarded_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.finished_at IS NULL THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.user_id, NEW.entity_type, NEW.entity_id, NEW.requested_by_id, NEW.requested_at)
           IS NOT DISTINCT FROM
           (OLD.id, OLD.user_id, OLD.entity_type, OLD.entity_id, OLD.requested_by_id, OLD.requested_at)
           AND (OLD.finished_at IS NULL
                OR (NEW.finished_at = OLD.finished_at
                    AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{reason,requested_by_name}')))
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'Erasure % stays as it was asked for, and as it ended.', coalesce(OLD.id, NEW.id)
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'erasures_guarded',
              TABLE = TG_TABLE_NAME;
END
$function$;

CREATE OR REPLACE FUNCTION public.jsonb_key_count_v1(document jsonb)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN jsonb_typeof(document) = 'object'
                THEN (SELECT count(*)::integer FROM jsonb_object_keys(document)) ELSE 0 END
$function$;

CREATE OR REPLACE FUNCTION public.observations_append_only_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'Observations are append-only; % of observation % is refused.', TG_OP, OLD.id
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'observations_append_only',
              TABLE = TG_TABLE_NAME;
END
$function$;

CREATE OR REPLACE FUNCTION public.observations_append_only_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, OLD.entity_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'Observations are append-only; % of observation % is refused.', TG_OP, OLD.id
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'observations_append_only',
              TABLE = TG_TABLE_NAME;
END
$function$;

CREATE OR REPLACE FUNCTION public.quota_grants_applied_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM 1 FROM user_schema_quotas AS q WHERE q.user_id = NEW.user_id FOR UPDATE;
    UPDATE user_schema_quotas AS q
       SET max_schemas = m.max_schemas, max_fields = m.max_fields
      FROM user_schema_maxima_v1(NEW.user_id) AS m
     WHERE q.user_id = NEW.user_id;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.quota_grants_guarded_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    present record;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Grant % cannot be deleted.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_grants_kept',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.user_id, NEW.request_id, NEW.max_schemas, NEW.max_fields, NEW.until, NEW.granted_by_id,
            NEW.granted_by_name, NEW.note, NEW.granted_at)
           IS DISTINCT FROM
           (OLD.id, OLD.user_id, OLD.request_id, OLD.max_schemas, OLD.max_fields, OLD.until, OLD.granted_by_id,
            OLD.granted_by_name, OLD.note, OLD.granted_at)
           OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at)
        THEN
            RAISE EXCEPTION 'Grant % is immutable; it can only end.', OLD.id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_grants_immutable',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END IF;

    IF NEW.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'A grant begins before it ends.'
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_grants_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    INSERT INTO user_schema_quotas (user_id, max_schemas, max_fields)
        SELECT NEW.user_id, m.max_schemas, m.max_fields FROM user_schema_maxima_v1(NEW.user_id) AS m
        ON CONFLICT (user_id) DO NOTHING;
    SELECT q.max_schemas, q.max_fields INTO present
      FROM user_schema_quotas AS q WHERE q.user_id = NEW.user_id FOR UPDATE;
    IF NEW.request_id IS NOT NULL THEN
        PERFORM 1 FROM quota_requests AS r
         WHERE r.id = NEW.request_id AND r.state = 'approved'
           AND (r.user_id, r.granted_max_schemas, r.granted_max_fields, r.granted_until, r.decided_by_id)
               IS NOT DISTINCT FROM
               (NEW.user_id, NEW.max_schemas, NEW.max_fields, NEW.until, NEW.granted_by_id);
        IF NOT FOUND THEN
            RAISE EXCEPTION 'Upgrade request % was not decided like this.', NEW.request_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_grants_as_decided',
                      TABLE = TG_TABLE_NAME;
        END IF;
    ELSIF NEW.max_schemas > present.max_schemas OR NEW.max_fields > present.max_fields THEN
        PERFORM 1 FROM quota_requests AS r WHERE r.user_id = NEW.user_id AND r.asked_by_id = NEW.granted_by_id;
        IF FOUND THEN
            RAISE EXCEPTION 'Whoever asked for more for user % cannot grant it.', NEW.user_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_grants_four_eyes',
                      TABLE = TG_TABLE_NAME;
        END IF;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.quota_grants_guarded_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    present record;
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, NULL) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{note,granted_by_name}')
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Grant % cannot be deleted.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_grants_kept',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.user_id, NEW.request_id, NEW.max_schemas, NEW.max_fields, NEW.until, NEW.granted_by_id,
            NEW.granted_by_name, NEW.note, NEW.granted_at)
           IS DISTINCT FROM
           (OLD.id, OLD.user_id, OLD.request_id, OLD.max_schemas, OLD.max_fields, OLD.until, OLD.granted_by_id,
            OLD.granted_by_name, OLD.note, OLD.granted_at)
           OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at)
        THEN
            RAISE EXCEPTION 'Grant % is immutable; it can only end.', OLD.id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_grants_immutable',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END IF;

    IF NEW.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'A grant begins before it ends.'
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_grants_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    INSERT INTO user_schema_quotas (user_id, max_schemas, max_fields)
        SELECT NEW.user_id, m.max_schemas, m.max_fields FROM user_schema_maxima_v1(NEW.user_id) AS m
        ON CONFLICT (user_id) DO NOTHING;
    SELECT q.max_schemas, q.max_fields INTO present
      FROM user_schema_quotas AS q WHERE q.user_id = NEW.user_id FOR UPDATE;
    IF NEW.request_id IS NOT NULL THEN
        PERFORM 1 FROM quota_requests AS r
         WHERE r.id = NEW.request_id AND r.state = 'approved'
           AND (r.user_id, r.granted_max_schemas, r.granted_max_fields, r.granted_until, r.decided_by_id)
               IS NOT DISTINCT FROM
               (NEW.user_id, NEW.max_schemas, NEW.max_fields, NEW.until, NEW.granted_by_id);
        IF NOT FOUND THEN
            RAISE EXCEPTION 'Upgrade request % was not decided like this.', NEW.request_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_grants_as_decided',
                      TABLE = TG_TABLE_NAME;
        END IF;
    ELSIF NEW.max_schemas > present.max_schemas OR NEW.max_fields > present.max_fields THEN
        PERFORM 1 FROM quota_requests AS r WHERE r.user_id = NEW.user_id AND r.asked_by_id = NEW.granted_by_id;
        IF FOUND THEN
            RAISE EXCEPTION 'Whoever asked for more for user % cannot grant it.', NEW.user_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_grants_four_eyes',
                      TABLE = TG_TABLE_NAME;
        END IF;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.quota_requests_moves_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Upgrade request % cannot be deleted.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_requests_kept',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' THEN
            RAISE EXCEPTION 'An upgrade request begins pending, not %.', NEW.state
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_requests_moves',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.user_id, NEW.asked_max_schemas, NEW.asked_max_fields, NEW.reason, NEW.asked_by_id, NEW.asked_at)
       IS DISTINCT FROM
       (OLD.id, OLD.user_id, OLD.asked_max_schemas, OLD.asked_max_fields, OLD.reason, OLD.asked_by_id, OLD.asked_at)
    THEN
        RAISE EXCEPTION 'Upgrade request % stays as it was asked.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_requests_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF OLD.state <> 'pending' AND NEW IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'Upgrade request % is % already.', OLD.id, OLD.state
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_requests_moves',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.quota_requests_moves_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, NULL) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{reason,decision_note}')
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Upgrade request % cannot be deleted.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_requests_kept',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' THEN
            RAISE EXCEPTION 'An upgrade request begins pending, not %.', NEW.state
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_requests_moves',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.user_id, NEW.asked_max_schemas, NEW.asked_max_fields, NEW.reason, NEW.asked_by_id, NEW.asked_at)
       IS DISTINCT FROM
       (OLD.id, OLD.user_id, OLD.asked_max_schemas, OLD.asked_max_fields, OLD.reason, OLD.asked_by_id, OLD.asked_at)
    THEN
        RAISE EXCEPTION 'Upgrade request % stays as it was asked.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_requests_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF OLD.state <> 'pending' AND NEW IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'Upgrade request % is % already.', OLD.id, OLD.state
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_requests_moves',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragment_aggregates_change_v1(changes raw_fragment_change_v1[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO raw_fragment_aggregates (user_id, entity_type, fragment_key)
    SELECT DISTINCT user_id, entity_type, fragment_key FROM unnest(changes)
     ORDER BY user_id, entity_type, fragment_key
    ON CONFLICT (user_id, entity_type, fragment_key) DO UPDATE SET fragment_key = EXCLUDED.fragment_key;

    WITH change AS (
        SELECT * FROM unnest(changes)
    ), by_source AS (
        SELECT user_id, entity_type, fragment_key, source_id, sum(row_count)::bigint AS n
          FROM change GROUP BY 1, 2, 3, 4 HAVING sum(row_count) <> 0
    ), stored AS (
        INSERT INTO raw_fragment_aggregate_sources AS s (user_id, entity_type, fragment_key, source_id, row_count)
        SELECT * FROM by_source ORDER BY user_id, entity_type, fragment_key, source_id
        ON CONFLICT (user_id, entity_type, fragment_key, source_id)
        DO UPDATE SET row_count = s.row_count + EXCLUDED.row_count
        RETURNING user_id, entity_type, fragment_key, source_id, row_count
    ), sources AS (
        -- A source that has as many as came was not there before.
        SELECT user_id, entity_type, fragment_key,
               count(*) FILTER (WHERE n > 0 AND row_count = n) - count(*) FILTER (WHERE row_count = 0) AS n
          FROM stored JOIN by_source USING (user_id, entity_type, fragment_key, source_id)
         GROUP BY 1, 2, 3
    ), types AS (
        SELECT user_id, entity_type, fragment_key, jsonb_object_agg(value_type, n) AS counts
          FROM (SELECT user_id, entity_type, fragment_key, value_type, sum(row_count) AS n
                  FROM change GROUP BY 1, 2, 3, 4) AS t
         GROUP BY 1, 2, 3
    ), formats AS (
        SELECT user_id, entity_type, fragment_key, jsonb_object_agg(value_type || ':' || value_format, n) AS counts
          FROM (SELECT user_id, entity_type, fragment_key, value_type, value_format, sum(row_count) AS n
                  FROM change GROUP BY 1, 2, 3, 4, 5) AS f
         GROUP BY 1, 2, 3
    ), totals AS (
        SELECT user_id, entity_type, fragment_key, sum(row_count) AS row_count, sum(frequency) AS frequency,
               max(last_seen_at) AS last_seen_at
          FROM change GROUP BY 1, 2, 3
    )
    UPDATE raw_fragment_aggregates AS a
       SET sample_count = a.sample_count + totals.row_count,
           frequency_total = a.frequency_total + totals.frequency,
           type_counts = raw_fragment_counts_added_v1(a.type_counts, types.counts),
           format_counts = raw_fragment_counts_added_v1(a.format_counts, formats.counts),
           unique_sources = a.unique_sources + coalesce(sources.n, 0),
           last_seen_at = greatest(a.last_seen_at, totals.last_seen_at)
      FROM totals
      JOIN types USING (user_id, entity_type, fragment_key)
      JOIN formats USING (user_id, entity_type, fragment_key)
      LEFT JOIN sources USING (user_id, entity_type, fragment_key)
     WHERE (a.user_id, a.entity_type, a.fragment_key) = (totals.user_id, totals.entity_type, totals.fragment_key);
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragment_aggregates_change_v2(changes raw_fragment_change_v1[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO raw_fragment_aggregates (user_id, entity_type, fragment_key)
    SELECT DISTINCT user_id, entity_type, fragment_key FROM unnest(changes)
     ORDER BY user_id, entity_type, fragment_key
    ON CONFLICT (user_id, entity_type, fragment_key) DO UPDATE SET fragment_key = EXCLUDED.fragment_key;

    WITH change AS MATERIALIZED (
        SELECT * FROM unnest(changes)
    ), by_source AS (
        SELECT user_id, entity_type, fragment_key, source_id, sum(row_count)::bigint AS n
          FROM change GROUP BY 1, 2, 3, 4 HAVING sum(row_count) <> 0
    ), stored AS (
        INSERT INTO raw_fragment_aggregate_sources AS s (user_id, entity_type, fragment_key, source_id, row_count)
        SELECT * FROM by_source ORDER BY user_id, entity_type, fragment_key, source_id
        ON CONFLICT (user_id, entity_type, fragment_key, source_id)
        DO UPDATE SET row_count = s.row_count + EXCLUDED.row_count
        RETURNING user_id, entity_type, fragment_key, source_id, row_count
    ), source AS (
        SELECT user_id, entity_type, fragment_key, source_id, max(n) AS n, max(row_count) AS row_count
          FROM (
            SELECT user_id, entity_type, fragment_key, source_id, n, NULL::bigint AS row_count FROM by_source
            UNION ALL
            SELECT user_id, entity_type, fragment_key, source_id, NULL, row_count FROM stored
          ) AS either GROUP BY 1, 2, 3, 4
    ), part AS (
        -- One list of all that is counted, which is grouped once.
        SELECT user_id, entity_type, fragment_key, 'all' AS kind, '' AS name, sum(row_count) AS n,
               sum(frequency) AS frequency, max(last_seen_at) AS last_seen_at
          FROM change GROUP BY 1, 2, 3
        UNION ALL
        SELECT user_id, entity_type, fragment_key, 'type', value_type, sum(row_count), NULL, NULL
          FROM change GROUP BY 1, 2, 3, 5
        UNION ALL
        SELECT user_id, entity_type, fragment_key, 'format', value_type || ':' || value_format, sum(row_count), NULL,
               NULL
          FROM change GROUP BY 1, 2, 3, 5
        UNION ALL
        -- A source that has as many as came was not there before.
        SELECT user_id, entity_type, fragment_key, 'source', '',
               count(*) FILTER (WHERE n > 0 AND row_count = n) - count(*) FILTER (WHERE row_count = 0), NULL, NULL
          FROM source GROUP BY 1, 2, 3
    ), summed AS (
        SELECT user_id, entity_type, fragment_key,
               sum(n) FILTER (WHERE kind = 'all') AS row_count, sum(frequency) AS frequency,
               max(last_seen_at) AS last_seen_at,
               jsonb_object_agg(name, n) FILTER (WHERE kind = 'type') AS types,
               jsonb_object_agg(name, n) FILTER (WHERE kind = 'format') AS formats,
               coalesce(sum(n) FILTER (WHERE kind = 'source'), 0) AS sources
          FROM part GROUP BY 1, 2, 3
    )
    UPDATE raw_fragment_aggregates AS a
       SET sample_count = a.sample_count + summed.row_count,
           frequency_total = a.frequency_total + summed.frequency,
           type_counts = raw_fragment_counts_added_v1(a.type_counts, summed.types),
           format_counts = raw_fragment_counts_added_v1(a.format_counts, summed.formats),
           unique_sources = a.unique_sources + summed.sources,
           last_seen_at = greatest(a.last_seen_at, summed.last_seen_at)
      FROM summed
     WHERE (a.user_id, a.entity_type, a.fragment_key) = (summed.user_id, summed.entity_type, summed.fragment_key);
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragment_aggregates_change_v3(changes raw_fragment_change_v1[])
 RETURNS SETOF raw_fragment_aggregates
 LANGUAGE plpgsql
 SET enable_nestloop TO 'off'
 SET jit TO 'off'
AS $function$
BEGIN
    -- In a statement of its own: the next one sees what was committed before it got the locks.
    INSERT INTO raw_fragment_aggregates (user_id, entity_type, fragment_key)
    SELECT DISTINCT user_id, entity_type, fragment_key FROM unnest(changes)
     ORDER BY user_id, entity_type, fragment_key
    ON CONFLICT (user_id, entity_type, fragment_key) DO UPDATE SET fragment_key = EXCLUDED.fragment_key;

    RETURN QUERY
    WITH change AS MATERIALIZED (
        SELECT * FROM unnest(changes)
    ), by_source AS (
        SELECT user_id, entity_type, fragment_key, source_id, sum(row_count)::bigint AS n
          FROM change GROUP BY 1, 2, 3, 4 HAVING sum(row_count) <> 0
    ), stored AS (
        INSERT INTO raw_fragment_aggregate_sources AS s (user_id, entity_type, fragment_key, source_id, row_count)
        SELECT * FROM by_source ORDER BY user_id, entity_type, fragment_key, source_id
        ON CONFLICT (user_id, entity_type, fragment_key, source_id)
        DO UPDATE SET row_count = s.row_count + EXCLUDED.row_count
        RETURNING user_id, entity_type, fragment_key, source_id, row_count
    ), source AS (
        SELECT user_id, entity_type, fragment_key, source_id, max(n) AS n, max(row_count) AS row_count
          FROM (
            SELECT user_id, entity_type, fragment_key, source_id, n, NULL::bigint AS row_count FROM by_source
            UNION ALL
            SELECT user_id, entity_type, fragment_key, source_id, NULL, row_count FROM stored
          ) AS either GROUP BY 1, 2, 3, 4
    ), part AS (
        -- One list of all that is counted, which is grouped once.
        SELECT user_id, entity_type, fragment_key, 'all' AS kind, '' AS name, sum(row_count) AS n,
               sum(frequency) AS frequency, max(last_seen_at) AS last_seen_at
          FROM change GROUP BY 1, 2, 3
        UNION ALL
        SELECT user_id, entity_type, fragment_key, 'type', value_type, sum(row_count), NULL, NULL
          FROM change GROUP BY 1, 2, 3, 5
        UNION ALL
        SELECT user_id, entity_type, fragment_key, 'format', value_type || ':' || value_format, sum(row_count), NULL,
               NULL
          FROM change GROUP BY 1, 2, 3, 5
        UNION ALL
        -- A source that has as many as came was not there before.
        SELECT user_id, entity_type, fragment_key, 'source', '',
               count(*) FILTER (WHERE n > 0 AND row_count = n) - count(*) FILTER (WHERE row_count = 0), NULL, NULL
          FROM source GROUP BY 1, 2, 3
    )
    INSERT INTO raw_fragment_aggregates AS a (user_id, entity_type, fragment_key, sample_count, frequency_total,
                                              last_seen_at, type_counts, format_counts, unique_sources)
    SELECT user_id, entity_type, fragment_key,
           sum(n) FILTER (WHERE kind = 'all'), sum(frequency), max(last_seen_at),
           jsonb_object_agg(name, n) FILTER (WHERE kind = 'type'),
           jsonb_object_agg(name, n) FILTER (WHERE kind = 'format'),
           coalesce(sum(n) FILTER (WHERE kind = 'source'), 0)
      FROM part GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (user_id, entity_type, fragment_key) DO UPDATE
       SET sample_count = a.sample_count + EXCLUDED.sample_count,
           frequency_total = a.frequency_total + EXCLUDED.frequency_total,
           type_counts = raw_fragment_counts_added_v1(a.type_counts, EXCLUDED.type_counts),
           format_counts = raw_fragment_counts_added_v1(a.format_counts, EXCLUDED.format_counts),
           unique_sources = a.unique_sources + EXCLUDED.unique_sources,
           last_seen_at = greatest(a.last_seen_at, EXCLUDED.last_seen_at)
    RETURNING a.*;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragment_counts_added_v1(counts jsonb, more jsonb)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT coalesce(jsonb_object_agg(name, n) FILTER (WHERE n <> 0), '{}')
      FROM (
        SELECT name, sum(n::bigint)::bigint AS n
          FROM (
            SELECT * FROM jsonb_each_text(counts) UNION ALL SELECT * FROM jsonb_each_text(more)
          ) AS either(name, n)
         GROUP BY name
      ) AS summed
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragment_counts_v1(lifecycle_state text, reason text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT lifecycle_state IN ('active', 'archived') AND reason IN ('unknown_field', 'type_mismatch', 'constraint')
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragment_counts_v2(lifecycle_state text, reason text, is_retracted boolean)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT lifecycle_state IN ('active', 'archived') AND reason IN ('unknown_field', 'type_mismatch', 'constraint')
       AND NOT is_retracted
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragment_dominant_type_v1(type_counts jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT coalesce((
        SELECT key FROM jsonb_each_text(type_counts) WHERE key <> 'null' AND value::bigint > 0
         ORDER BY value::bigint DESC, key COLLATE "C" LIMIT 1
    ), '')
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragment_samples_drop_v1(changes raw_fragment_change_v1[], gone bigint[])
 RETURNS void
 LANGUAGE sql
AS $function$
    UPDATE raw_fragment_aggregates AS a
       SET sample_values = coalesce(kept.samples, '[]')
      FROM (
        SELECT touched.id, jsonb_agg(sample ORDER BY place) FILTER (WHERE lost.id IS NULL) AS samples
          FROM (
            SELECT DISTINCT a.id, a.sample_values FROM raw_fragment_aggregates AS a
              JOIN unnest(changes) USING (user_id, entity_type, fragment_key)
             WHERE row_count < 0
          ) AS touched
         CROSS JOIN LATERAL jsonb_array_elements(touched.sample_values) WITH ORDINALITY AS s(sample, place)
          LEFT JOIN unnest(gone) AS lost(id) ON lost.id = (sample ->> 'fragment')::bigint
         GROUP BY touched.id HAVING count(lost.id) > 0
      ) AS kept
     WHERE kept.id = a.id
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragment_samples_drop_v2(sampled raw_fragment_aggregates[], gone bigint[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_nestloop TO 'off'
 SET jit TO 'off'
AS $function$
BEGIN
    INSERT INTO raw_fragment_aggregates (user_id, entity_type, fragment_key, sample_values)
    SELECT user_id, entity_type, fragment_key,
           coalesce(jsonb_agg(sample ORDER BY place) FILTER (WHERE lost.id IS NULL), '[]')
      FROM unnest(sampled) AS a
     CROSS JOIN LATERAL jsonb_array_elements(a.sample_values) WITH ORDINALITY AS s(sample, place)
      LEFT JOIN unnest(gone) AS lost(id) ON lost.id = (sample ->> 'fragment')::bigint
     GROUP BY 1, 2, 3 HAVING count(lost.id) > 0 ORDER BY 1, 2, 3
    ON CONFLICT (user_id, entity_type, fragment_key) DO UPDATE SET sample_values = EXCLUDED.sample_values;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragment_type_consistency_v1(type_counts jsonb)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT coalesce((
        SELECT (max(value::bigint) * 10000 / sum(value::bigint))::integer
          FROM jsonb_each_text(type_counts) WHERE key <> 'null' AND value::bigint > 0
    ), 0)
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_delete_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      NULL)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               -count(*) AS row_count, -sum(frequency_count)::bigint AS frequency
          FROM removed WHERE raw_fragment_counts_v1(lifecycle_state, reason)
         GROUP BY 1, 2, 3, 4, 5, 6
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM raw_fragment_aggregates_change_v1(changes);

    PERFORM raw_fragment_samples_drop_v1(changes, ARRAY(SELECT id FROM removed));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_delete_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      NULL)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               -count(*) AS row_count, -sum(frequency_count)::bigint AS frequency
          FROM removed WHERE raw_fragment_counts_v1(lifecycle_state, reason)
         GROUP BY 1, 2, 3, 4, 5, 6
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM raw_fragment_aggregates_change_v2(changes);

    PERFORM raw_fragment_samples_drop_v1(changes, ARRAY(SELECT id FROM removed));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_delete_v3()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_nestloop TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
    sampled raw_fragment_aggregates[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      NULL)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               -count(*) AS row_count, -sum(frequency_count)::bigint AS frequency
          FROM removed WHERE raw_fragment_counts_v1(lifecycle_state, reason)
         GROUP BY 1, 2, 3, 4, 5, 6
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;

    SELECT array_agg(a) INTO sampled
      FROM raw_fragment_aggregates_change_v3(changes) AS a
     WHERE a.sample_values <> '[]';
    PERFORM raw_fragment_samples_drop_v2(sampled, ARRAY(SELECT id FROM removed));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_delete_v4()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_nestloop TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
    sampled raw_fragment_aggregates[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      NULL)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               -count(*) AS row_count, -sum(frequency_count)::bigint AS frequency
          FROM removed WHERE raw_fragment_counts_v2(lifecycle_state, reason, is_retracted)
         GROUP BY 1, 2, 3, 4, 5, 6
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;

    SELECT array_agg(a) INTO sampled
      FROM raw_fragment_aggregates_change_v3(changes) AS a
     WHERE a.sample_values <> '[]';
    PERFORM raw_fragment_samples_drop_v2(sampled, ARRAY(SELECT id FROM removed));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_insert_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      last_seen_at)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               count(*) AS row_count, sum(frequency_count) AS frequency, max(last_seen_at) AS last_seen_at
          FROM added WHERE raw_fragment_counts_v1(lifecycle_state, reason)
         GROUP BY 1, 2, 3, 4, 5, 6
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM raw_fragment_aggregates_change_v1(changes);

    -- At most ten different values are kept to look at, small ones. Most keys have theirs after the first batches.
    WITH room AS (
        SELECT a.id, a.user_id, a.entity_type, a.fragment_key, a.sample_values
          FROM raw_fragment_aggregates AS a
          JOIN (SELECT DISTINCT user_id, entity_type, fragment_key FROM unnest(changes)) AS touched
            USING (user_id, entity_type, fragment_key)
         WHERE jsonb_array_length(a.sample_values) < 10
    ), fresh AS (
        SELECT DISTINCT ON (room.id, added.value_hash) room.id, added.id AS fragment_id, added.value
          FROM room JOIN added USING (user_id, entity_type, fragment_key)
         WHERE raw_fragment_counts_v1(added.lifecycle_state, added.reason)
           AND length(added.value::text) <= 300
           AND NOT room.sample_values @> jsonb_build_array(jsonb_build_object('value', added.value))
         ORDER BY room.id, added.value_hash, added.id
    ), chosen AS (
        SELECT id, fragment_id, value, row_number() OVER (PARTITION BY id ORDER BY fragment_id) AS place FROM fresh
    )
    UPDATE raw_fragment_aggregates AS a
       SET sample_values = a.sample_values || more.samples
      FROM (
        SELECT chosen.id, jsonb_agg(jsonb_build_object('fragment', fragment_id, 'value', value) ORDER BY place)
                          AS samples
          FROM chosen JOIN room ON room.id = chosen.id
         WHERE place <= 10 - jsonb_array_length(room.sample_values)
         GROUP BY chosen.id
      ) AS more
     WHERE more.id = a.id;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_insert_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
    with_room text[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      last_seen_at)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               count(*) AS row_count, sum(frequency_count) AS frequency, max(last_seen_at) AS last_seen_at
          FROM added WHERE raw_fragment_counts_v1(lifecycle_state, reason)
         GROUP BY 1, 2, 3, 4, 5, 6
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM raw_fragment_aggregates_change_v2(changes);

    -- At most ten different values are kept to look at, small ones. Most keys have theirs after the first batches.
    SELECT array_agg(DISTINCT a.fragment_key) INTO with_room
      FROM raw_fragment_aggregates AS a
      JOIN (SELECT DISTINCT user_id, entity_type, fragment_key FROM unnest(changes)) AS touched
        USING (user_id, entity_type, fragment_key)
     WHERE jsonb_array_length(a.sample_values) < 10;
    IF with_room IS NULL THEN
        RETURN NULL;
    END IF;
    UPDATE raw_fragment_aggregates AS a
       SET sample_values = a.sample_values || more.samples
      FROM (
        SELECT id, jsonb_agg(jsonb_build_object('fragment', fragment_id, 'value', value) ORDER BY place) AS samples
          FROM (
            SELECT id, fragment_id, value, had, row_number() OVER (PARTITION BY id ORDER BY fragment_id) AS place
              FROM (
                SELECT DISTINCT ON (a.id, added.value_hash)
                       a.id, added.id AS fragment_id, added.value, jsonb_array_length(a.sample_values) AS had
                  FROM added JOIN raw_fragment_aggregates AS a USING (user_id, entity_type, fragment_key)
                 WHERE fragment_key = ANY(with_room)
                   AND raw_fragment_counts_v1(added.lifecycle_state, added.reason)
                   AND length(added.value::text) <= 300
                   AND jsonb_array_length(a.sample_values) < 10
                   AND NOT a.sample_values @> jsonb_build_array(jsonb_build_object('value', added.value))
                 ORDER BY a.id, added.value_hash, added.id
              ) AS fresh
          ) AS chosen
         WHERE place <= 10 - had
         GROUP BY id
      ) AS more
     WHERE more.id = a.id;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_insert_v3()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_nestloop TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
    with_room raw_fragment_aggregates[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      last_seen_at)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               count(*) AS row_count, sum(frequency_count) AS frequency, max(last_seen_at) AS last_seen_at
          FROM added WHERE raw_fragment_counts_v1(lifecycle_state, reason)
         GROUP BY 1, 2, 3, 4, 5, 6
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;

    -- At most ten different values are kept to look at, small ones. Most keys have theirs after the first batches.
    SELECT array_agg(a) INTO with_room
      FROM raw_fragment_aggregates_change_v3(changes) AS a
     WHERE jsonb_array_length(a.sample_values) < 10;
    IF with_room IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO raw_fragment_aggregates AS a (user_id, entity_type, fragment_key, sample_values)
    SELECT user_id, entity_type, fragment_key,
           jsonb_agg(jsonb_build_object('fragment', fragment_id, 'value', value) ORDER BY place)
      FROM (
        SELECT user_id, entity_type, fragment_key, fragment_id, value, had,
               row_number() OVER (PARTITION BY id ORDER BY fragment_id) AS place
          FROM (
            SELECT DISTINCT ON (room.id, added.value_hash)
                   room.id, user_id, entity_type, fragment_key, added.id AS fragment_id, added.value,
                   jsonb_array_length(room.sample_values) AS had
              FROM added JOIN unnest(with_room) AS room USING (user_id, entity_type, fragment_key)
             WHERE raw_fragment_counts_v1(added.lifecycle_state, added.reason)
               AND length(added.value::text) <= 300
               AND NOT room.sample_values @> jsonb_build_array(jsonb_build_object('value', added.value))
             ORDER BY room.id, added.value_hash, added.id
          ) AS fresh
      ) AS chosen
     WHERE place <= 10 - had
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (user_id, entity_type, fragment_key) DO UPDATE
       SET sample_values = a.sample_values || EXCLUDED.sample_values;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_insert_v4()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_nestloop TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
    with_room raw_fragment_aggregates[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      last_seen_at)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               count(*) AS row_count, sum(frequency_count) AS frequency, max(last_seen_at) AS last_seen_at
          FROM added WHERE raw_fragment_counts_v2(lifecycle_state, reason, is_retracted)
         GROUP BY 1, 2, 3, 4, 5, 6
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;

    -- At most ten different values are kept to look at, small ones. Most keys have theirs after the first batches.
    SELECT array_agg(a) INTO with_room
      FROM raw_fragment_aggregates_change_v3(changes) AS a
     WHERE jsonb_array_length(a.sample_values) < 10;
    IF with_room IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO raw_fragment_aggregates AS a (user_id, entity_type, fragment_key, sample_values)
    SELECT user_id, entity_type, fragment_key,
           jsonb_agg(jsonb_build_object('fragment', fragment_id, 'value', value) ORDER BY place)
      FROM (
        SELECT user_id, entity_type, fragment_key, fragment_id, value, had,
               row_number() OVER (PARTITION BY id ORDER BY fragment_id) AS place
          FROM (
            SELECT DISTINCT ON (room.id, added.value_hash)
                   room.id, user_id, entity_type, fragment_key, added.id AS fragment_id, added.value,
                   jsonb_array_length(room.sample_values) AS had
              FROM added JOIN unnest(with_room) AS room USING (user_id, entity_type, fragment_key)
             WHERE raw_fragment_counts_v2(added.lifecycle_state, added.reason, added.is_retracted)
               AND length(added.value::text) <= 300
               AND NOT room.sample_values @> jsonb_build_array(jsonb_build_object('value', added.value))
             ORDER BY room.id, added.value_hash, added.id
          ) AS fresh
      ) AS chosen
     WHERE place <= 10 - had
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (user_id, entity_type, fragment_key) DO UPDATE
       SET sample_values = a.sample_values || EXCLUDED.sample_values;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_update_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      last_seen_at)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               sum(sign)::bigint AS row_count, sum(sign * frequency_count)::bigint AS frequency,
               max(last_seen_at) FILTER (WHERE sign = 1) AS last_seen_at
          FROM (
            SELECT 1 AS sign, user_id, entity_type, fragment_key, source_id, value_type, value_format,
                   frequency_count, last_seen_at
              FROM added WHERE raw_fragment_counts_v1(lifecycle_state, reason)
            UNION ALL
            SELECT -1, user_id, entity_type, fragment_key, source_id, value_type, value_format,
                   frequency_count, last_seen_at
              FROM removed WHERE raw_fragment_counts_v1(lifecycle_state, reason)
          ) AS both_
         GROUP BY 1, 2, 3, 4, 5, 6
        HAVING sum(sign) <> 0 OR sum(sign * frequency_count) <> 0
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM raw_fragment_aggregates_change_v1(changes);

    PERFORM raw_fragment_samples_drop_v1(
        changes, ARRAY(SELECT id FROM added WHERE NOT raw_fragment_counts_v1(lifecycle_state, reason)));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_update_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      last_seen_at)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               sum(sign)::bigint AS row_count, sum(sign * frequency_count)::bigint AS frequency,
               max(last_seen_at) FILTER (WHERE sign = 1) AS last_seen_at
          FROM (
            SELECT 1 AS sign, user_id, entity_type, fragment_key, source_id, value_type, value_format,
                   frequency_count, last_seen_at
              FROM added WHERE raw_fragment_counts_v1(lifecycle_state, reason)
            UNION ALL
            SELECT -1, user_id, entity_type, fragment_key, source_id, value_type, value_format,
                   frequency_count, last_seen_at
              FROM removed WHERE raw_fragment_counts_v1(lifecycle_state, reason)
          ) AS both_
         GROUP BY 1, 2, 3, 4, 5, 6
        HAVING sum(sign) <> 0 OR sum(sign * frequency_count) <> 0
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM raw_fragment_aggregates_change_v2(changes);

    -- What no longer counts, and what psql gave to another field: v1 left that a sample of the first for good.
    PERFORM raw_fragment_samples_drop_v1(
        changes,
        ARRAY(
            SELECT id FROM (
                SELECT id, user_id, entity_type, fragment_key
                  FROM removed WHERE raw_fragment_counts_v1(lifecycle_state, reason)
                EXCEPT ALL
                SELECT id, user_id, entity_type, fragment_key
                  FROM added WHERE raw_fragment_counts_v1(lifecycle_state, reason)
            ) AS lost
        ));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_update_v3()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_nestloop TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
    sampled raw_fragment_aggregates[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      last_seen_at)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               sum(sign)::bigint AS row_count, sum(sign * frequency_count)::bigint AS frequency,
               max(last_seen_at) FILTER (WHERE sign = 1) AS last_seen_at
          FROM (
            SELECT 1 AS sign, user_id, entity_type, fragment_key, source_id, value_type, value_format,
                   frequency_count, last_seen_at
              FROM added WHERE raw_fragment_counts_v1(lifecycle_state, reason)
            UNION ALL
            SELECT -1, user_id, entity_type, fragment_key, source_id, value_type, value_format,
                   frequency_count, last_seen_at
              FROM removed WHERE raw_fragment_counts_v1(lifecycle_state, reason)
          ) AS both_
         GROUP BY 1, 2, 3, 4, 5, 6
        HAVING sum(sign) <> 0 OR sum(sign * frequency_count) <> 0
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;

    SELECT array_agg(a) INTO sampled
      FROM raw_fragment_aggregates_change_v3(changes) AS a
     WHERE a.sample_values <> '[]';
    -- What no longer counts, and what psql gave to another field.
    PERFORM raw_fragment_samples_drop_v2(
        sampled,
        ARRAY(
            SELECT id FROM (
                SELECT id, user_id, entity_type, fragment_key
                  FROM removed WHERE raw_fragment_counts_v1(lifecycle_state, reason)
                EXCEPT ALL
                SELECT id, user_id, entity_type, fragment_key
                  FROM added WHERE raw_fragment_counts_v1(lifecycle_state, reason)
            ) AS lost
        ));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_aggregated_update_v4()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_nestloop TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    changes raw_fragment_change_v1[];
    sampled raw_fragment_aggregates[];
BEGIN
    SELECT array_agg((user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                      last_seen_at)::raw_fragment_change_v1)
      INTO changes
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               sum(sign)::bigint AS row_count, sum(sign * frequency_count)::bigint AS frequency,
               max(last_seen_at) FILTER (WHERE sign = 1) AS last_seen_at
          FROM (
            SELECT 1 AS sign, user_id, entity_type, fragment_key, source_id, value_type, value_format,
                   frequency_count, last_seen_at
              FROM added WHERE raw_fragment_counts_v2(lifecycle_state, reason, is_retracted)
            UNION ALL
            SELECT -1, user_id, entity_type, fragment_key, source_id, value_type, value_format,
                   frequency_count, last_seen_at
              FROM removed WHERE raw_fragment_counts_v2(lifecycle_state, reason, is_retracted)
          ) AS both_
         GROUP BY 1, 2, 3, 4, 5, 6
        HAVING sum(sign) <> 0 OR sum(sign * frequency_count) <> 0
      ) AS change;
    IF changes IS NULL THEN
        RETURN NULL;
    END IF;

    SELECT array_agg(a) INTO sampled
      FROM raw_fragment_aggregates_change_v3(changes) AS a
     WHERE a.sample_values <> '[]';
    -- What no longer counts, and what psql gave to another field.
    PERFORM raw_fragment_samples_drop_v2(
        sampled,
        ARRAY(
            SELECT id FROM (
                SELECT id, user_id, entity_type, fragment_key
                  FROM removed WHERE raw_fragment_counts_v2(lifecycle_state, reason, is_retracted)
                EXCEPT ALL
                SELECT id, user_id, entity_type, fragment_key
                  FROM added WHERE raw_fragment_counts_v2(lifecycle_state, reason, is_retracted)
            ) AS lost
        ));
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_moves_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    -- Archived fragments are evidence and kept; only the job that an archive retention is set for says otherwise, for
    -- its own transaction.
    archive_ends CONSTANT boolean := current_setting('schemaevo.archive_ends', true) = 'yes';
    is_allowed boolean;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Fragment % is %, and only what is pending_deletion may be deleted.',
                        OLD.id, OLD.lifecycle_state
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'raw_fragments_moves',
                  TABLE = TG_TABLE_NAME;
    END IF;
    is_allowed := CASE OLD.lifecycle_state
        WHEN 'active' THEN NEW.lifecycle_state IN ('promoted', 'archived')
        WHEN 'archived' THEN NEW.lifecycle_state IN ('active', 'promoted')
                             OR (NEW.lifecycle_state = 'pending_deletion' AND coalesce(archive_ends, false))
        WHEN 'promoted' THEN NEW.lifecycle_state IN ('active', 'pending_deletion')
        WHEN 'pending_deletion' THEN NEW.lifecycle_state IN ('active', 'promoted')
        ELSE false
    END;
    IF NOT is_allowed THEN
        RAISE EXCEPTION 'Fragment % cannot go from % to %.', OLD.id, OLD.lifecycle_state, NEW.lifecycle_state
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'raw_fragments_moves',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.raw_fragments_moves_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    -- Archived fragments are evidence and kept; only the job that an archive retention is set for says otherwise, for
    -- its own transaction.
    archive_ends CONSTANT boolean := current_setting('schemaevo.archive_ends', true) = 'yes';
    is_allowed boolean;
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, OLD.entity_id) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Fragment % is %, and only what is pending_deletion may be deleted.',
                        OLD.id, OLD.lifecycle_state
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'raw_fragments_moves',
                  TABLE = TG_TABLE_NAME;
    END IF;
    is_allowed := CASE OLD.lifecycle_state
        WHEN 'active' THEN NEW.lifecycle_state IN ('promoted', 'archived')
        WHEN 'archived' THEN NEW.lifecycle_state IN ('active', 'promoted')
                             OR (NEW.lifecycle_state = 'pending_deletion' AND coalesce(archive_ends, false))
        WHEN 'promoted' THEN NEW.lifecycle_state IN ('active', 'pending_deletion')
        WHEN 'pending_deletion' THEN NEW.lifecycle_state IN ('active', 'promoted')
        ELSE false
    END;
    IF NOT is_allowed THEN
        RAISE EXCEPTION 'Fragment % cannot go from % to %.', OLD.id, OLD.lifecycle_state, NEW.lifecycle_state
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'raw_fragments_moves',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_epochs_raised_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO schema_epochs AS e (entity_type, user_id, epoch)
            SELECT DISTINCT entity_type, user_id, 1 FROM new_rows WHERE is_active
             ORDER BY entity_type, user_id
            ON CONFLICT (entity_type, user_id) DO UPDATE SET epoch = e.epoch + 1;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO schema_epochs AS e (entity_type, user_id, epoch)
            SELECT DISTINCT n.entity_type, n.user_id, 1
              FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.is_active <> n.is_active
             ORDER BY n.entity_type, n.user_id
            ON CONFLICT (entity_type, user_id) DO UPDATE SET epoch = e.epoch + 1;
    ELSE
        INSERT INTO schema_epochs AS e (entity_type, user_id, epoch)
            SELECT DISTINCT entity_type, user_id, 1 FROM old_rows WHERE is_active
             ORDER BY entity_type, user_id
            ON CONFLICT (entity_type, user_id) DO UPDATE SET epoch = e.epoch + 1;
    END IF;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_approvals_v1(proposal bigint, hash text, round integer)
 RETURNS bigint
 LANGUAGE sql
 STABLE
AS $function$
    SELECT count(DISTINCT decided_by_id) FROM schema_proposal_decisions
     WHERE proposal_id = proposal AND content_hash = hash AND round_number = round AND verdict = 'approve'
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_comments_kept_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM schema_proposal_refused_v1(
        format('Comment %s stays as it was written.', OLD.id), 'schema_proposal_comments_kept', TG_TABLE_NAME);
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_comments_kept_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{text}')
    THEN
        RETURN NEW;
    END IF;
    PERFORM schema_proposal_refused_v1(
        format('Comment %s stays as it was written.', OLD.id), 'schema_proposal_comments_kept', TG_TABLE_NAME);
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_content_v1(entity_type text, base_version_id bigint, edits jsonb)
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
    SELECT encode(sha256(convert_to(jsonb_build_array(entity_type, base_version_id, edits)::text, 'UTF8')), 'hex')
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_decisions_guarded_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    present record;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM schema_proposal_refused_v1(
            format('Decision %s stays as it was made.', OLD.id), 'schema_proposal_decisions_kept', TG_TABLE_NAME);
    END IF;
    SELECT p.state, p.content_hash, p.author_id, p.last_editor_id, p.round_number INTO present
      FROM schema_proposals AS p WHERE p.id = NEW.proposal_id FOR UPDATE;
    IF present.state NOT IN ('in_review', 'approved', 'failed')
       OR (NEW.verdict = 'approve' AND present.state <> 'in_review')
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s is %s; there is nothing to decide.', NEW.proposal_id, present.state),
            'schema_proposal_decisions_in_review', TG_TABLE_NAME);
    END IF;
    IF (NEW.content_hash, NEW.author_id, NEW.last_editor_id)
       IS DISTINCT FROM (present.content_hash, present.author_id, present.last_editor_id)
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s is not what was decided about.', NEW.proposal_id),
            'schema_proposal_decisions_bound', TG_TABLE_NAME);
    END IF;
    NEW.round_number := present.round_number;
    IF NEW.verdict = 'approve' THEN
        PERFORM 1 FROM schema_proposal_trials AS t
          WHERE t.proposal_id = NEW.proposal_id AND t.act = 'apply' AND t.state = 'done'
            AND t.content_hash = present.content_hash;
        IF NOT FOUND THEN
            PERFORM schema_proposal_refused_v1(
                format('What proposal %s says now was not tried.', NEW.proposal_id),
                'schema_proposal_decisions_tried', TG_TABLE_NAME);
        END IF;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_decisions_guarded_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    present record;
BEGIN
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{note}')
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM schema_proposal_refused_v1(
            format('Decision %s stays as it was made.', OLD.id), 'schema_proposal_decisions_kept', TG_TABLE_NAME);
    END IF;
    SELECT p.state, p.content_hash, p.author_id, p.last_editor_id, p.round_number INTO present
      FROM schema_proposals AS p WHERE p.id = NEW.proposal_id FOR UPDATE;
    IF present.state NOT IN ('in_review', 'approved', 'failed')
       OR (NEW.verdict = 'approve' AND present.state <> 'in_review')
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s is %s; there is nothing to decide.', NEW.proposal_id, present.state),
            'schema_proposal_decisions_in_review', TG_TABLE_NAME);
    END IF;
    IF (NEW.content_hash, NEW.author_id, NEW.last_editor_id)
       IS DISTINCT FROM (present.content_hash, present.author_id, present.last_editor_id)
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s is not what was decided about.', NEW.proposal_id),
            'schema_proposal_decisions_bound', TG_TABLE_NAME);
    END IF;
    NEW.round_number := present.round_number;
    IF NEW.verdict = 'approve' THEN
        PERFORM 1 FROM schema_proposal_trials AS t
          WHERE t.proposal_id = NEW.proposal_id AND t.act = 'apply' AND t.state = 'done'
            AND t.content_hash = present.content_hash;
        IF NOT FOUND THEN
            PERFORM schema_proposal_refused_v1(
                format('What proposal %s says now was not tried.', NEW.proposal_id),
                'schema_proposal_decisions_tried', TG_TABLE_NAME);
        END IF;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_moves_v1(before text)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE before
        WHEN 'draft' THEN '{in_review,withdrawn,stale}'
        WHEN 'in_review' THEN '{approved,changes_requested,rejected,withdrawn,expired,stale}'
        WHEN 'changes_requested' THEN '{in_review,withdrawn,expired,stale}'
        WHEN 'approved' THEN '{in_review,changes_requested,rejected,applied,failed,withdrawn,expired,stale}'
        WHEN 'failed' THEN '{in_review,changes_requested,rejected,applied,withdrawn,expired,stale}'
        WHEN 'stale' THEN '{draft,withdrawn,expired}'
        WHEN 'applied' THEN '{undone}'
        ELSE '{}'
    END::text[]
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_refused_v1(message text, rule text, table_name text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION '%', message
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = rule, TABLE = table_name;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_trial_left_v1(result jsonb)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT CASE WHEN jsonb_typeof(result -> 'values') = 'array' THEN jsonb_set(result, '{values}', (
        SELECT coalesce(jsonb_agg(sample ORDER BY place), '[]')
          FROM jsonb_array_elements(result -> 'values') WITH ORDINALITY AS s (sample, place)
         WHERE NOT EXISTS (
            SELECT 1 FROM erasures AS e
             WHERE e.id = erasure_marked_v1() AND e.user_id::text = sample ->> 'owner'
               AND (e.entity_id IS NULL OR e.entity_id::text = sample ->> 'entity'))))
    ELSE result END
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_trial_unerased_v1(result jsonb, since timestamp with time zone)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT CASE WHEN jsonb_typeof(result -> 'values') = 'array' THEN jsonb_set(result, '{values}', (
        SELECT coalesce(jsonb_agg(sample ORDER BY place), '[]')
          FROM jsonb_array_elements(result -> 'values') WITH ORDINALITY AS s (sample, place)
         WHERE NOT EXISTS (
            SELECT 1 FROM erasures AS e
             WHERE (e.finished_at IS NULL OR e.finished_at >= since) AND e.user_id::text = sample ->> 'owner'
               AND (e.entity_id IS NULL OR e.entity_id::text = sample ->> 'entity'))))
    ELSE result END
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_trials_guarded_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'waiting' THEN
            PERFORM schema_proposal_refused_v1(
                format('A trial begins waiting, not %s.', NEW.state), 'schema_proposal_trials_kept', TG_TABLE_NAME);
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.state IN ('done', 'failed')
       OR (NEW.id, NEW.proposal_id, NEW.act, NEW.content_hash)
          IS DISTINCT FROM (OLD.id, OLD.proposal_id, OLD.act, OLD.content_hash)
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Trial %s stays as it is.', OLD.id), 'schema_proposal_trials_kept', TG_TABLE_NAME);
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposal_trials_guarded_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    -- Of the values that a trial keeps those go that are of whom is erased, and nothing else. What is being tried while
    -- an erasure runs may have read them before they went.
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND to_jsonb(NEW) - '{result,error}'::text[] = to_jsonb(OLD) - '{result,error}'::text[]
       AND ((NEW.error = OLD.error AND NEW.result = schema_proposal_trial_left_v1(OLD.result))
            OR erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{error}'))
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'waiting' THEN
            PERFORM schema_proposal_refused_v1(
                format('A trial begins waiting, not %s.', NEW.state), 'schema_proposal_trials_kept', TG_TABLE_NAME);
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.state IN ('done', 'failed')
       OR (NEW.id, NEW.proposal_id, NEW.act, NEW.content_hash)
          IS DISTINCT FROM (OLD.id, OLD.proposal_id, OLD.act, OLD.content_hash)
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Trial %s stays as it is.', OLD.id), 'schema_proposal_trials_kept', TG_TABLE_NAME);
    END IF;
    IF NEW.state = 'done' THEN
        NEW.result := schema_proposal_trial_unerased_v1(NEW.result, OLD.asked_at);
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_proposals_guarded_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    is_edited boolean;
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s cannot be deleted.', OLD.id), 'schema_proposals_kept', TG_TABLE_NAME);
    END IF;
    NEW.content_hash := schema_proposal_content_v1(NEW.entity_type, NEW.base_version_id, NEW.edits);
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'draft' THEN
            PERFORM schema_proposal_refused_v1(
                format('A proposal begins as a draft, not %s.', NEW.state), 'schema_proposals_moves', TG_TABLE_NAME);
        END IF;
        NEW.round_number := 1;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.entity_type, NEW.origin, NEW.subject, NEW.created_at)
       IS DISTINCT FROM (OLD.id, OLD.entity_type, OLD.origin, OLD.subject, OLD.created_at)
       OR (OLD.author_id IS NOT NULL AND NEW.author_id IS DISTINCT FROM OLD.author_id)
       OR (OLD.applied_version_id IS NOT NULL AND NEW.applied_version_id IS DISTINCT FROM OLD.applied_version_id)
       OR (OLD.submitted_at IS NOT NULL AND NEW.submitted_at IS NULL)
    THEN
        PERFORM schema_proposal_refused_v1(
            format('What proposal %s is about, and who drafted it, stays as it is.', OLD.id),
            'schema_proposals_immutable', TG_TABLE_NAME);
    END IF;
    is_edited := NEW.content_hash <> OLD.content_hash;
    NEW.round_number := OLD.round_number;
    IF is_edited OR (NEW.state = 'in_review' AND OLD.state <> 'in_review') THEN
        NEW.round_number := OLD.round_number + 1;
    END IF;
    -- Who edited it last is who must not approve: it changes with an edit and not otherwise, and an edit has somebody
    -- who made it, but for what an analysis found and nobody has taken over yet.
    IF (NOT is_edited AND NEW.last_editor_id IS DISTINCT FROM OLD.last_editor_id)
       OR (is_edited AND NEW.last_editor_id IS NULL
           AND NOT (NEW.origin = 'analysis' AND NEW.author_id IS NULL AND NEW.state = 'draft'))
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Whoever edits proposal %s is its last editor.', OLD.id),
            'schema_proposals_last_editor', TG_TABLE_NAME);
    END IF;
    IF NEW.state <> OLD.state THEN
        IF NOT NEW.state = ANY(schema_proposal_moves_v1(OLD.state)) THEN
            PERFORM schema_proposal_refused_v1(
                format('Proposal %s is %s and cannot become %s.', OLD.id, OLD.state, NEW.state),
                'schema_proposals_moves', TG_TABLE_NAME);
        END IF;
        NEW.moved_at := statement_timestamp();
    END IF;
    IF is_edited THEN
        IF OLD.state NOT IN ('draft', 'in_review', 'changes_requested', 'approved', 'failed', 'stale')
           OR NEW.state NOT IN ('draft', 'in_review', 'changes_requested')
        THEN
            PERFORM schema_proposal_refused_v1(
                format('Proposal %s is %s: its content stays as it was.', OLD.id, OLD.state),
                'schema_proposals_immutable', TG_TABLE_NAME);
        END IF;
        NEW.edited_at := statement_timestamp();
    END IF;
    IF OLD.submitted_at IS NOT NULL AND NEW.required_approvals < OLD.required_approvals THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s needs %s approvals.', OLD.id, OLD.required_approvals),
            'schema_proposals_approvals', TG_TABLE_NAME);
    END IF;
    IF NEW.state IN ('approved', 'applied') AND NEW.state <> OLD.state
       AND schema_proposal_approvals_v1(NEW.id, NEW.content_hash, NEW.round_number) < NEW.required_approvals
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s needs %s approvals of what it says now.', OLD.id, NEW.required_approvals),
            'schema_proposals_approvals', TG_TABLE_NAME);
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_registry_immutable_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.first_activated_at IS NOT NULL THEN
            RAISE EXCEPTION 'Version %.%.% of % was in force and cannot be deleted.',
                OLD.major, OLD.minor, OLD.patch, OLD.entity_type
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'schema_registry_kept',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN OLD;
    END IF;

    IF TG_OP = 'INSERT' THEN
        PERFORM 1 FROM schemas AS s
            WHERE s.id = NEW.schema_id
              AND s.entity_type = NEW.entity_type
              AND s.user_id IS NOT DISTINCT FROM NEW.user_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'A version must have the entity type and the owner of its schema %.', NEW.schema_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'schema_registry_owner',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END IF;

    IF (NEW.id, NEW.schema_id, NEW.entity_type, NEW.user_id, NEW.major, NEW.minor, NEW.patch,
        NEW.definition, NEW.definition_hash, NEW.note, NEW.created_at, NEW.created_by_id)
       IS DISTINCT FROM
       (OLD.id, OLD.schema_id, OLD.entity_type, OLD.user_id, OLD.major, OLD.minor, OLD.patch,
        OLD.definition, OLD.definition_hash, OLD.note, OLD.created_at, OLD.created_by_id)
       OR (OLD.first_activated_at IS NOT NULL AND NEW.first_activated_at IS DISTINCT FROM OLD.first_activated_at)
    THEN
        RAISE EXCEPTION 'Version %.%.% of % is immutable; register a new version instead.',
            OLD.major, OLD.minor, OLD.patch, OLD.entity_type
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'schema_registry_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_registry_immutable_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, NULL) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{note}')
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF OLD.first_activated_at IS NOT NULL THEN
            RAISE EXCEPTION 'Version %.%.% of % was in force and cannot be deleted.',
                OLD.major, OLD.minor, OLD.patch, OLD.entity_type
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'schema_registry_kept',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN OLD;
    END IF;

    IF TG_OP = 'INSERT' THEN
        PERFORM 1 FROM schemas AS s
            WHERE s.id = NEW.schema_id
              AND s.entity_type = NEW.entity_type
              AND s.user_id IS NOT DISTINCT FROM NEW.user_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'A version must have the entity type and the owner of its schema %.', NEW.schema_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'schema_registry_owner',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END IF;

    IF (NEW.id, NEW.schema_id, NEW.entity_type, NEW.user_id, NEW.major, NEW.minor, NEW.patch,
        NEW.definition, NEW.definition_hash, NEW.note, NEW.created_at, NEW.created_by_id)
       IS DISTINCT FROM
       (OLD.id, OLD.schema_id, OLD.entity_type, OLD.user_id, OLD.major, OLD.minor, OLD.patch,
        OLD.definition, OLD.definition_hash, OLD.note, OLD.created_at, OLD.created_by_id)
       OR (OLD.first_activated_at IS NOT NULL AND NEW.first_activated_at IS DISTINCT FROM OLD.first_activated_at)
    THEN
        RAISE EXCEPTION 'Version %.%.% of % is immutable; register a new version instead.',
            OLD.major, OLD.minor, OLD.patch, OLD.entity_type
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'schema_registry_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.schemas_identity_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF (NEW.id, NEW.entity_type, NEW.user_id) IS DISTINCT FROM (OLD.id, OLD.entity_type, OLD.user_id) THEN
        RAISE EXCEPTION 'Schema % keeps its entity type and its owner.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'schemas_identity',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.user_schema_counts_v1(users bigint[])
 RETURNS TABLE(user_id bigint, schema_count integer, total_fields integer)
 LANGUAGE sql
 STABLE
AS $function$
    SELECT asked.id, count(u.entity_type)::integer, coalesce(sum(u.field_count), 0)::integer
      FROM unnest(users) AS asked (id)
      LEFT JOIN user_schema_usage_v1(users) AS u ON u.user_id = asked.id
     GROUP BY asked.id
$function$;

CREATE OR REPLACE FUNCTION public.user_schema_extensions_immutable_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Revision % of the extension of % was in force and cannot be deleted.',
            OLD.revision, OLD.entity_type
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_extensions_kept',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF (NEW.id, NEW.user_id, NEW.entity_type, NEW.revision, NEW.base_schema_version, NEW.additional_fields,
        NEW.field_overrides, NEW.content_hash, NEW.cause, NEW.cause_version_id, NEW.absorbed, NEW.note,
        NEW.created_at, NEW.created_by_id)
       IS DISTINCT FROM
       (OLD.id, OLD.user_id, OLD.entity_type, OLD.revision, OLD.base_schema_version, OLD.additional_fields,
        OLD.field_overrides, OLD.content_hash, OLD.cause, OLD.cause_version_id, OLD.absorbed, OLD.note,
        OLD.created_at, OLD.created_by_id)
    THEN
        RAISE EXCEPTION 'Revision % of the extension of % is immutable; write a new revision instead.',
            OLD.revision, OLD.entity_type
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_extensions_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.user_schema_extensions_immutable_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, NULL) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{note}')
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Revision % of the extension of % was in force and cannot be deleted.',
            OLD.revision, OLD.entity_type
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_extensions_kept',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF (NEW.id, NEW.user_id, NEW.entity_type, NEW.revision, NEW.base_schema_version, NEW.additional_fields,
        NEW.field_overrides, NEW.content_hash, NEW.cause, NEW.cause_version_id, NEW.absorbed, NEW.note,
        NEW.created_at, NEW.created_by_id)
       IS DISTINCT FROM
       (OLD.id, OLD.user_id, OLD.entity_type, OLD.revision, OLD.base_schema_version, OLD.additional_fields,
        OLD.field_overrides, OLD.content_hash, OLD.cause, OLD.cause_version_id, OLD.absorbed, OLD.note,
        OLD.created_at, OLD.created_by_id)
    THEN
        RAISE EXCEPTION 'Revision % of the extension of % is immutable; write a new revision instead.',
            OLD.revision, OLD.entity_type
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_extensions_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.user_schema_maxima_v1(owner bigint, OUT max_schemas integer, OUT max_fields integer)
 RETURNS record
 LANGUAGE sql
 STABLE
AS $function$
    SELECT coalesce((SELECT g.max_schemas FROM quota_grants AS g
                      WHERE g.user_id = owner AND g.ended_at IS NULL AND g.max_schemas IS NOT NULL
                      ORDER BY g.id DESC LIMIT 1), 10),
           coalesce((SELECT g.max_fields FROM quota_grants AS g
                      WHERE g.user_id = owner AND g.ended_at IS NULL AND g.max_fields IS NOT NULL
                      ORDER BY g.id DESC LIMIT 1), 200)
$function$;

CREATE OR REPLACE FUNCTION public.user_schema_quotas_counted_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.user_schema_quotas_guarded_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    counted record;
    allowed record;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.schema_count > 0 OR OLD.total_fields > 0 THEN
            RAISE EXCEPTION 'The quota of user % counts something and cannot be deleted.', OLD.user_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'user_schema_quotas_kept',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN OLD;
    END IF;

    IF TG_OP = 'UPDATE' AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (OLD.max_schemas, OLD.max_fields) THEN
        -- From now on the transaction may put back what is there now, and not what was there before.
        NEW.peak_schema_count := NEW.schema_count;
        NEW.peak_total_fields := NEW.total_fields;
    END IF;
    IF pg_trigger_depth() > 1 THEN
        RETURN NEW;
    END IF;

    SELECT c.schema_count, c.total_fields INTO counted FROM user_schema_counts_v1(ARRAY[NEW.user_id]) AS c;
    SELECT m.max_schemas, m.max_fields INTO allowed FROM user_schema_maxima_v1(NEW.user_id) AS m;
    IF TG_OP = 'INSERT' THEN
        -- Not refused: who makes sure that there is a row may have looked before somebody else's commit.
        NEW.schema_count := counted.schema_count;
        NEW.total_fields := counted.total_fields;
        NEW.max_schemas := allowed.max_schemas;
        NEW.max_fields := allowed.max_fields;
    ELSIF (NEW.schema_count, NEW.total_fields) IS DISTINCT FROM (OLD.schema_count, OLD.total_fields)
       AND (NEW.schema_count, NEW.total_fields) IS DISTINCT FROM (counted.schema_count, counted.total_fields)
    THEN
        RAISE EXCEPTION 'User % has % schemas and % fields; the counters say nothing else.',
            NEW.user_id, counted.schema_count, counted.total_fields
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_counted',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (OLD.max_schemas, OLD.max_fields)
       AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (allowed.max_schemas, allowed.max_fields)
    THEN
        RAISE EXCEPTION 'User % was granted % schemas and % fields; a maximum changes by a grant.',
            NEW.user_id, allowed.max_schemas, allowed.max_fields
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_granted',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.user_id <> OLD.user_id THEN
        RAISE EXCEPTION 'The quota of user % keeps its owner.', OLD.user_id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_owner',
                  TABLE = TG_TABLE_NAME;
    END IF;
    -- No transaction is known to have written these: nothing but what is there now may be put back.
    NEW.peak_schema_count := NEW.schema_count;
    NEW.peak_total_fields := NEW.total_fields;
    NEW.changed_in := 0;
    NEW.changed_at := transaction_timestamp();
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.user_schema_quotas_guarded_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    counted record;
    allowed record;
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, NULL) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF OLD.schema_count > 0 OR OLD.total_fields > 0 THEN
            RAISE EXCEPTION 'The quota of user % counts something and cannot be deleted.', OLD.user_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'user_schema_quotas_kept',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN OLD;
    END IF;

    IF TG_OP = 'UPDATE' AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (OLD.max_schemas, OLD.max_fields) THEN
        -- From now on the transaction may put back what is there now, and not what was there before.
        NEW.peak_schema_count := NEW.schema_count;
        NEW.peak_total_fields := NEW.total_fields;
    END IF;
    IF pg_trigger_depth() > 1 THEN
        RETURN NEW;
    END IF;

    SELECT c.schema_count, c.total_fields INTO counted FROM user_schema_counts_v1(ARRAY[NEW.user_id]) AS c;
    SELECT m.max_schemas, m.max_fields INTO allowed FROM user_schema_maxima_v1(NEW.user_id) AS m;
    IF TG_OP = 'INSERT' THEN
        -- Not refused: who makes sure that there is a row may have looked before somebody else's commit.
        NEW.schema_count := counted.schema_count;
        NEW.total_fields := counted.total_fields;
        NEW.max_schemas := allowed.max_schemas;
        NEW.max_fields := allowed.max_fields;
    ELSIF (NEW.schema_count, NEW.total_fields) IS DISTINCT FROM (OLD.schema_count, OLD.total_fields)
       AND (NEW.schema_count, NEW.total_fields) IS DISTINCT FROM (counted.schema_count, counted.total_fields)
    THEN
        RAISE EXCEPTION 'User % has % schemas and % fields; the counters say nothing else.',
            NEW.user_id, counted.schema_count, counted.total_fields
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_counted',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (OLD.max_schemas, OLD.max_fields)
       AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (allowed.max_schemas, allowed.max_fields)
    THEN
        RAISE EXCEPTION 'User % was granted % schemas and % fields; a maximum changes by a grant.',
            NEW.user_id, allowed.max_schemas, allowed.max_fields
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_granted',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.user_id <> OLD.user_id THEN
        RAISE EXCEPTION 'The quota of user % keeps its owner.', OLD.user_id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_owner',
                  TABLE = TG_TABLE_NAME;
    END IF;
    -- No transaction is known to have written these: nothing but what is there now may be put back.
    NEW.peak_schema_count := NEW.schema_count;
    NEW.peak_total_fields := NEW.total_fields;
    NEW.changed_in := 0;
    NEW.changed_at := transaction_timestamp();
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.user_schema_quotas_noticed_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'UPDATE'
       AND (NEW.schema_count, NEW.total_fields, NEW.max_schemas, NEW.max_fields)
           IS NOT DISTINCT FROM (OLD.schema_count, OLD.total_fields, OLD.max_schemas, OLD.max_fields)
    THEN
        RETURN NULL;
    END IF;
    UPDATE quota_notices AS n
       SET cleared_at = now()
      FROM (VALUES ('schemas', NEW.schema_count, NEW.max_schemas),
                   ('fields', NEW.total_fields, NEW.max_fields)) AS l ("limit", usage, maximum)
     WHERE n.user_id = NEW.user_id AND n.cleared_at IS NULL AND n."limit" = l."limit"
       AND (l.usage = 0 OR l.usage::bigint * 100 < l.maximum::bigint * n.threshold);
    INSERT INTO quota_notices (user_id, "limit", threshold, usage, maximum)
        SELECT NEW.user_id, l."limit", t.threshold, l.usage, l.maximum
          FROM (VALUES ('schemas', NEW.schema_count, NEW.max_schemas),
                       ('fields', NEW.total_fields, NEW.max_fields)) AS l ("limit", usage, maximum)
         CROSS JOIN (VALUES (80), (100)) AS t (threshold)
         WHERE l.usage > 0 AND l.usage::bigint * 100 >= l.maximum::bigint * t.threshold
         ORDER BY l."limit", t.threshold
        ON CONFLICT (user_id, "limit", threshold) WHERE cleared_at IS NULL DO NOTHING;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.user_schema_quotas_noticed_v2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF TG_OP = 'UPDATE'
       AND (NEW.schema_count, NEW.total_fields, NEW.max_schemas, NEW.max_fields)
           IS NOT DISTINCT FROM (OLD.schema_count, OLD.total_fields, OLD.max_schemas, OLD.max_fields)
    THEN
        RETURN NULL;
    END IF;
    UPDATE quota_notices AS n
       SET cleared_at = transaction_timestamp()
      FROM (VALUES ('schemas', NEW.schema_count, NEW.max_schemas),
                   ('fields', NEW.total_fields, NEW.max_fields)) AS l ("limit", usage, maximum)
     WHERE n.user_id = NEW.user_id AND n.cleared_at IS NULL AND n."limit" = l."limit"
       AND (l.usage = 0 OR l.usage::bigint * 100 < l.maximum::bigint * n.threshold);
    UPDATE quota_notices AS n
       SET cleared_at = NULL
      FROM (VALUES ('schemas', NEW.schema_count, NEW.max_schemas),
                   ('fields', NEW.total_fields, NEW.max_fields)) AS l ("limit", usage, maximum)
     WHERE n.user_id = NEW.user_id AND n."limit" = l."limit"
       -- The newest of its kind alone: of those only one may hold.
       AND n.id = (SELECT max(o.id) FROM quota_notices AS o
                    WHERE o.user_id = n.user_id AND o."limit" = n."limit" AND o.threshold = n.threshold)
       AND n.cleared_at = transaction_timestamp()
       AND l.usage > 0 AND l.usage::bigint * 100 >= l.maximum::bigint * n.threshold;
    INSERT INTO quota_notices (user_id, "limit", threshold, usage, maximum)
        SELECT NEW.user_id, l."limit", t.threshold, l.usage, l.maximum
          FROM (VALUES ('schemas', NEW.schema_count, NEW.max_schemas),
                       ('fields', NEW.total_fields, NEW.max_fields)) AS l ("limit", usage, maximum)
         CROSS JOIN (VALUES (80), (100)) AS t (threshold)
         WHERE l.usage > 0 AND l.usage::bigint * 100 >= l.maximum::bigint * t.threshold
         ORDER BY l."limit", t.threshold
        ON CONFLICT (user_id, "limit", threshold) WHERE cleared_at IS NULL DO NOTHING;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE FUNCTION public.user_schema_usage_v1(users bigint[])
 RETURNS TABLE(user_id bigint, entity_type character varying, field_count integer)
 LANGUAGE sql
 STABLE
AS $function$
    SELECT part.user_id, part.entity_type, sum(part.fields)::integer
      FROM (
        SELECT v.user_id, v.entity_type, jsonb_key_count_v1(v.definition -> 'fields') AS fields
          FROM schema_registry AS v
         WHERE v.id IN (
            SELECT DISTINCT ON (o.user_id, o.entity_type) o.id
              FROM schema_registry AS o
             WHERE o.user_id = ANY (users) AND o.retired_at IS NULL
             ORDER BY o.user_id, o.entity_type, o.is_active DESC, o.major DESC, o.minor DESC, o.patch DESC)
        UNION ALL
        SELECT e.user_id, e.entity_type, jsonb_key_count_v1(e.additional_fields)
          FROM user_schema_extensions AS e
         WHERE e.user_id = ANY (users) AND e.is_active
           AND jsonb_key_count_v1(e.additional_fields) + jsonb_key_count_v1(e.field_overrides) > 0
      ) AS part
     GROUP BY part.user_id, part.entity_type
$function$;

CREATE TRIGGER audit_events_append_only BEFORE DELETE OR UPDATE ON public.audit_events FOR EACH ROW EXECUTE FUNCTION audit_events_append_only_v2();

CREATE TRIGGER erasures_guarded BEFORE INSERT OR DELETE OR UPDATE ON public.erasures FOR EACH ROW EXECUTE FUNCTION erasures_guarded_v1();

CREATE TRIGGER observations_append_only BEFORE DELETE OR UPDATE ON public.observations FOR EACH ROW EXECUTE FUNCTION observations_append_only_v2();

CREATE TRIGGER quota_grants_applied AFTER INSERT OR UPDATE ON public.quota_grants FOR EACH ROW EXECUTE FUNCTION quota_grants_applied_v1();

CREATE TRIGGER quota_grants_guarded BEFORE INSERT OR DELETE OR UPDATE ON public.quota_grants FOR EACH ROW EXECUTE FUNCTION quota_grants_guarded_v2();

CREATE TRIGGER quota_requests_moves BEFORE INSERT OR DELETE OR UPDATE ON public.quota_requests FOR EACH ROW EXECUTE FUNCTION quota_requests_moves_v2();

CREATE TRIGGER raw_fragments_aggregated_delete AFTER DELETE ON public.raw_fragments REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_delete_v4();

CREATE TRIGGER raw_fragments_aggregated_insert AFTER INSERT ON public.raw_fragments REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_insert_v4();

CREATE TRIGGER raw_fragments_aggregated_update AFTER UPDATE ON public.raw_fragments REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_update_v4();

CREATE TRIGGER raw_fragments_deletions BEFORE DELETE ON public.raw_fragments FOR EACH ROW WHEN (((old.lifecycle_state)::text <> 'pending_deletion'::text)) EXECUTE FUNCTION raw_fragments_moves_v2();

CREATE TRIGGER raw_fragments_moves BEFORE UPDATE ON public.raw_fragments FOR EACH ROW WHEN (((old.lifecycle_state)::text IS DISTINCT FROM (new.lifecycle_state)::text)) EXECUTE FUNCTION raw_fragments_moves_v2();

CREATE TRIGGER schema_proposal_comments_kept BEFORE DELETE OR UPDATE ON public.schema_proposal_comments FOR EACH ROW EXECUTE FUNCTION schema_proposal_comments_kept_v2();

CREATE TRIGGER schema_proposal_decisions_guarded BEFORE INSERT OR DELETE OR UPDATE ON public.schema_proposal_decisions FOR EACH ROW EXECUTE FUNCTION schema_proposal_decisions_guarded_v2();

CREATE TRIGGER schema_proposal_trials_guarded BEFORE INSERT OR DELETE OR UPDATE ON public.schema_proposal_trials FOR EACH ROW EXECUTE FUNCTION schema_proposal_trials_guarded_v2();

CREATE TRIGGER schema_proposals_guarded BEFORE INSERT OR DELETE OR UPDATE ON public.schema_proposals FOR EACH ROW EXECUTE FUNCTION schema_proposals_guarded_v1();

CREATE TRIGGER schema_registry_epoch_delete AFTER DELETE ON public.schema_registry REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER schema_registry_epoch_insert AFTER INSERT ON public.schema_registry REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER schema_registry_epoch_update AFTER UPDATE ON public.schema_registry REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER schema_registry_immutable BEFORE INSERT OR DELETE OR UPDATE ON public.schema_registry FOR EACH ROW EXECUTE FUNCTION schema_registry_immutable_v2();

CREATE TRIGGER schema_registry_quota_delete AFTER DELETE ON public.schema_registry REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();

CREATE TRIGGER schema_registry_quota_insert AFTER INSERT ON public.schema_registry REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();

CREATE TRIGGER schema_registry_quota_update AFTER UPDATE ON public.schema_registry REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();

CREATE TRIGGER schemas_identity BEFORE UPDATE ON public.schemas FOR EACH ROW EXECUTE FUNCTION schemas_identity_v1();

CREATE TRIGGER user_schema_extensions_epoch_delete AFTER DELETE ON public.user_schema_extensions REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER user_schema_extensions_epoch_insert AFTER INSERT ON public.user_schema_extensions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER user_schema_extensions_epoch_update AFTER UPDATE ON public.user_schema_extensions REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER user_schema_extensions_immutable BEFORE DELETE OR UPDATE ON public.user_schema_extensions FOR EACH ROW EXECUTE FUNCTION user_schema_extensions_immutable_v2();

CREATE TRIGGER user_schema_extensions_quota_delete AFTER DELETE ON public.user_schema_extensions REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();

CREATE TRIGGER user_schema_extensions_quota_insert AFTER INSERT ON public.user_schema_extensions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();

CREATE TRIGGER user_schema_extensions_quota_update AFTER UPDATE ON public.user_schema_extensions REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION user_schema_quotas_counted_v1();

CREATE TRIGGER user_schema_quotas_guarded BEFORE INSERT OR DELETE OR UPDATE ON public.user_schema_quotas FOR EACH ROW EXECUTE FUNCTION user_schema_quotas_guarded_v2();

CREATE TRIGGER user_schema_quotas_noticed AFTER INSERT OR UPDATE ON public.user_schema_quotas FOR EACH ROW EXECUTE FUNCTION user_schema_quotas_noticed_v2();
