-- Keeps: what 0004_aggregates_v2.sql keeps, in a time that grows with what a statement brings, whatever the planner
-- believes of the tables.
-- Why again: aggregates were found by joins. Where the last ANALYZE had seen a table of a few rows, they were planned as
-- loops around the whole list, and one statement for 400 users took minutes. Aggregates are looked up by their unique
-- key alone now, by ON CONFLICT, for which there is no other plan; and lists are joined with lists by hashing.
-- jit: what cannot but loop, over ten samples, looks so dear to PostgreSQL before 18 that it would be compiled.

-- Gives the rows as they are afterwards.
CREATE FUNCTION raw_fragment_aggregates_change_v3(changes raw_fragment_change_v1[])
RETURNS SETOF raw_fragment_aggregates
LANGUAGE plpgsql SET enable_nestloop = off SET jit = off AS $$
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
$$;

-- What is gone is no sample either. The aggregates are given as they are, under their locks.
CREATE FUNCTION raw_fragment_samples_drop_v2(sampled raw_fragment_aggregates[], gone bigint[]) RETURNS void
LANGUAGE plpgsql SET enable_nestloop = off SET jit = off AS $$
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
$$;

CREATE FUNCTION raw_fragments_aggregated_insert_v3() RETURNS trigger
LANGUAGE plpgsql SET enable_nestloop = off SET jit = off AS $$
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
$$;

CREATE FUNCTION raw_fragments_aggregated_update_v3() RETURNS trigger
LANGUAGE plpgsql SET enable_nestloop = off SET jit = off AS $$
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
$$;

CREATE FUNCTION raw_fragments_aggregated_delete_v3() RETURNS trigger
LANGUAGE plpgsql SET enable_nestloop = off SET jit = off AS $$
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
$$;

CREATE OR REPLACE TRIGGER raw_fragments_aggregated_insert
    AFTER INSERT ON raw_fragments REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_insert_v3();
CREATE OR REPLACE TRIGGER raw_fragments_aggregated_update
    AFTER UPDATE ON raw_fragments REFERENCING NEW TABLE AS added OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_update_v3();
CREATE OR REPLACE TRIGGER raw_fragments_aggregated_delete
    AFTER DELETE ON raw_fragments REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_delete_v3();
