DROP FUNCTION raw_fragment_type_consistency_v1(jsonb);
DROP FUNCTION raw_fragment_dominant_type_v1(jsonb);
DROP FUNCTION raw_fragment_counts_added_v1(jsonb, jsonb);
