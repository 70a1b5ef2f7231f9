CREATE OR REPLACE TRIGGER raw_fragments_aggregated_insert
    AFTER INSERT ON raw_fragments REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_insert_v2();
CREATE OR REPLACE TRIGGER raw_fragments_aggregated_update
    AFTER UPDATE ON raw_fragments REFERENCING NEW TABLE AS added OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_update_v2();
CREATE OR REPLACE TRIGGER raw_fragments_aggregated_delete
    AFTER DELETE ON raw_fragments REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_delete_v2();
DROP FUNCTION raw_fragments_aggregated_delete_v3();
DROP FUNCTION raw_fragments_aggregated_update_v3();
DROP FUNCTION raw_fragments_aggregated_insert_v3();
DROP FUNCTION raw_fragment_samples_drop_v2(raw_fragment_aggregates[], bigint[]);
DROP FUNCTION raw_fragment_aggregates_change_v3(raw_fragment_change_v1[]);
