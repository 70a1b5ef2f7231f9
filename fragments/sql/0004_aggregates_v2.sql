-- Keeps: what 0003_aggregates_v1.sql keeps, in a time that grows with what a statement brings, and not with its square.
-- Why again: lists were made of what a statement brings, and joined. Nobody knows beforehand how long they are: planned
-- for few, the joins took 15 s where 200 users came with 20 fields each. A list that is grouped once is not joined.
CREATE FUNCTION raw_fragment_aggregates_change_v2(changes raw_fragment_change_v1[]) RETURNS void
LANGUAGE plpgsql AS $$
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
$$;

CREATE FUNCTION raw_fragments_aggregated_insert_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
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
$$;

CREATE FUNCTION raw_fragments_aggregated_update_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
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
$$;

CREATE FUNCTION raw_fragments_aggregated_delete_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
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
$$;

CREATE OR REPLACE TRIGGER raw_fragments_aggregated_insert
    AFTER INSERT ON raw_fragments REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_insert_v2();
CREATE OR REPLACE TRIGGER raw_fragments_aggregated_update
    AFTER UPDATE ON raw_fragments REFERENCING NEW TABLE AS added OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_update_v2();
CREATE OR REPLACE TRIGGER raw_fragments_aggregated_delete
    AFTER DELETE ON raw_fragments REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_delete_v2();
