-- What the counts of aggregates are made of. Counts are jsonb objects {name: number}, without zeros. Until the fragments
-- of before are counted some may be negative, and nothing here may fail on that.
CREATE FUNCTION raw_fragment_counts_added_v1(counts jsonb, more jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_object_agg(name, n) FILTER (WHERE n <> 0), '{}')
      FROM (
        SELECT name, sum(n::bigint)::bigint AS n
          FROM (
            SELECT * FROM jsonb_each_text(counts) UNION ALL SELECT * FROM jsonb_each_text(more)
          ) AS either(name, n)
         GROUP BY name
      ) AS summed
$$;

-- The type that most values have that are not null, and of several the first by name; '' where all are null.
CREATE FUNCTION raw_fragment_dominant_type_v1(type_counts jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce((
        SELECT key FROM jsonb_each_text(type_counts) WHERE key <> 'null' AND value::bigint > 0
         ORDER BY value::bigint DESC, key COLLATE "C" LIMIT 1
    ), '')
$$;

-- Its share among the values that are not null, in ten-thousandths, rounded down.
CREATE FUNCTION raw_fragment_type_consistency_v1(type_counts jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce((
        SELECT (max(value::bigint) * 10000 / sum(value::bigint))::integer
          FROM jsonb_each_text(type_counts) WHERE key <> 'null' AND value::bigint > 0
    ), 0)
$$;
