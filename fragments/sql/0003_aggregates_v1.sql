-- Keeps: aggregates count the fragments that are active or archived and wait for a schema, exactly, at every commit.
-- Why here: recommendations read aggregates alone, and nobody who writes fragments can forget them.
-- It never reads raw_fragments: what changed is in the transition tables.
CREATE TYPE raw_fragment_change_v1 AS (
    user_id bigint,
    entity_type text,
    fragment_key text,
    source_id uuid,
    value_type text,
    value_format text,
    row_count bigint,
    frequency bigint,
    last_seen_at timestamptz
);

-- Rows are locked, and made, in the order of their keys: two statements that touch the same ones wait for each other
-- in that order alone. In a statement of its own: the next ones see what was committed before it got the locks.
CREATE FUNCTION raw_fragment_aggregates_change_v1(changes raw_fragment_change_v1[]) RETURNS void
LANGUAGE plpgsql AS $$
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
$$;

-- What does not count any more is no sample either.
CREATE FUNCTION raw_fragment_samples_drop_v1(changes raw_fragment_change_v1[], gone bigint[]) RETURNS void
LANGUAGE sql AS $$
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
$$;

-- Whether a fragment counts. Inlined, as a plain expression.
CREATE FUNCTION raw_fragment_counts_v1(lifecycle_state text, reason text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lifecycle_state IN ('active', 'archived') AND reason IN ('unknown_field', 'type_mismatch', 'constraint')
$$;

CREATE FUNCTION raw_fragments_aggregated_insert_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
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
$$;

CREATE FUNCTION raw_fragments_aggregated_update_v1() RETURNS trigger
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
    PERFORM raw_fragment_aggregates_change_v1(changes);

    PERFORM raw_fragment_samples_drop_v1(
        changes, ARRAY(SELECT id FROM added WHERE NOT raw_fragment_counts_v1(lifecycle_state, reason)));
    RETURN NULL;
END
$$;

CREATE FUNCTION raw_fragments_aggregated_delete_v1() RETURNS trigger
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
    PERFORM raw_fragment_aggregates_change_v1(changes);

    PERFORM raw_fragment_samples_drop_v1(changes, ARRAY(SELECT id FROM removed));
    RETURN NULL;
END
$$;

CREATE TRIGGER raw_fragments_aggregated_insert
    AFTER INSERT ON raw_fragments REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_insert_v1();
CREATE TRIGGER raw_fragments_aggregated_update
    AFTER UPDATE ON raw_fragments REFERENCING NEW TABLE AS added OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_update_v1();
CREATE TRIGGER raw_fragments_aggregated_delete
    AFTER DELETE ON raw_fragments REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_delete_v1();
