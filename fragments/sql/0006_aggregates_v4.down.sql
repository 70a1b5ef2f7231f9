CREATE OR REPLACE TRIGGER raw_fragments_aggregated_insert
    AFTER INSERT ON raw_fragments REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_insert_v3();
CREATE OR REPLACE TRIGGER raw_fragments_aggregated_update
    AFTER UPDATE ON raw_fragments REFERENCING NEW TABLE AS added OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_update_v3();
CREATE OR REPLACE TRIGGER raw_fragments_aggregated_delete
    AFTER DELETE ON raw_fragments REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION raw_fragments_aggregated_delete_v3();
DROP FUNCTION raw_fragments_aggregated_delete_v4();
DROP FUNCTION raw_fragments_aggregated_update_v4();
DROP FUNCTION raw_fragments_aggregated_insert_v4();
DROP FUNCTION raw_fragment_counts_v2(text, text, boolean);
