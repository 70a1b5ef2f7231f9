-- Fills: the counters of users who declared something before it was counted.
-- Why here: the triggers count what changes from now on; what stands already is counted once. What is above a
-- maximum stays, and gets its notice.
INSERT INTO user_schema_quotas (user_id, schema_count, total_fields)
    SELECT c.user_id, c.schema_count, c.total_fields
      FROM user_schema_counts_v1(ARRAY(
            SELECT v.user_id FROM schema_registry AS v WHERE v.user_id IS NOT NULL
            UNION
            SELECT e.user_id FROM user_schema_extensions AS e)) AS c
     ORDER BY c.user_id
    ON CONFLICT (user_id) DO NOTHING;
