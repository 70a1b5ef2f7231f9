-- Keeps: what 0005_aggregates_v3.sql keeps; a fragment of a retracted source is not counted.
-- Why here: to retract a source and to undo it are updates like any other, and nobody has to remember the counts.

-- Whether a fragment counts. Inlined, as a plain expression.
CREATE FUNCTION raw_fragment_counts_v2(lifecycle_state text, reason text, is_retracted boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lifecycle_state IN ('active', 'archived') AND reason IN ('unknown_field', 'type_mismatch', 'constraint')
       AND NOT is_retracted
$$;

CREATE FUNCTION raw_fragments_aggregated_insert_v4() RETURNS trigger
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
$$;

CREATE FUNCTION raw_fragments_aggregated_update_v4() RETURNS trigger
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
$$;

CREATE FUNCTION raw_fragments_aggregated_delete_v4() RETURNS trigger
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
$$;

CREATE OR REPLACE TRIGGER raw_fragments_aggregated_insert
    AFTER INSERT ON raw_fragments REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_insert_v4();
CREATE OR REPLACE TRIGGER raw_fragments_aggregated_update
    AFTER UPDATE ON raw_fragments REFERENCING NEW TABLE AS added OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_update_v4();
CREATE OR REPLACE TRIGGER raw_fragments_aggregated_delete
    AFTER DELETE ON raw_fragments REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_delete_v4();
