DROP TRIGGER raw_fragments_aggregated_delete ON raw_fragments;
DROP TRIGGER raw_fragments_aggregated_update ON raw_fragments;
DROP TRIGGER raw_fragments_aggregated_insert ON raw_fragments;
DROP FUNCTION raw_fragments_aggregated_delete_v1();
DROP FUNCTION raw_fragments_aggregated_update_v1();
DROP FUNCTION raw_fragments_aggregated_insert_v1();
DROP FUNCTION raw_fragment_counts_v1(text, text);
DROP FUNCTION raw_fragment_aggregates_change_v1(raw_fragment_change_v1[]);
DROP TYPE raw_fragment_change_v1;
