DROP FUNCTION user_schema_maxima_v1(bigint);
DROP FUNCTION user_schema_counts_v1(bigint[]);
DROP FUNCTION user_schema_usage_v1(bigint[]);
DROP FUNCTION jsonb_key_count_v1(jsonb);
