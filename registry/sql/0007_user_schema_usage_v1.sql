-- Says: what counts against a quota, by user and entity type (I4), and which maxima an owner's grants come to.
-- Why here: the triggers that count, the one that guards the counters, recount and pages all have to mean the same.
-- Counted is an entity type in which the user has an own version that is not retired, or an extension in force that
-- says something; its fields are those of the own version in force, else of the newest that is not retired, and
-- those that the extension adds. The version is chosen before its document is read.
CREATE FUNCTION jsonb_key_count_v1(document jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(document) = 'object'
                THEN (SELECT count(*)::integer FROM jsonb_object_keys(document)) ELSE 0 END
$$;

CREATE FUNCTION user_schema_usage_v1(users bigint[])
RETURNS TABLE (user_id bigint, entity_type varchar, field_count integer)
LANGUAGE sql STABLE AS $$
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
$$;

CREATE FUNCTION user_schema_counts_v1(users bigint[])
RETURNS TABLE (user_id bigint, schema_count integer, total_fields integer)
LANGUAGE sql STABLE AS $$
    SELECT asked.id, count(u.entity_type)::integer, coalesce(sum(u.field_count), 0)::integer
      FROM unnest(users) AS asked (id)
      LEFT JOIN user_schema_usage_v1(users) AS u ON u.user_id = asked.id
     GROUP BY asked.id
$$;

CREATE FUNCTION user_schema_maxima_v1(owner bigint, OUT max_schemas integer, OUT max_fields integer)
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT g.max_schemas FROM quota_grants AS g
                      WHERE g.user_id = owner AND g.ended_at IS NULL AND g.max_schemas IS NOT NULL
                      ORDER BY g.id DESC LIMIT 1), 10),
           coalesce((SELECT g.max_fields FROM quota_grants AS g
                      WHERE g.user_id = owner AND g.ended_at IS NULL AND g.max_fields IS NOT NULL
                      ORDER BY g.id DESC LIMIT 1), 200)
$$;
