CREATE OR REPLACE TRIGGER raw_fragments_moves
    BEFORE UPDATE ON raw_fragments
    FOR EACH ROW WHEN (OLD.lifecycle_state IS DISTINCT FROM NEW.lifecycle_state)
    EXECUTE FUNCTION raw_fragments_moves_v1();
CREATE OR REPLACE TRIGGER raw_fragments_deletions
    BEFORE DELETE ON raw_fragments
    FOR EACH ROW WHEN (OLD.lifecycle_state <> 'pending_deletion')
    EXECUTE FUNCTION raw_fragments_moves_v1();
DROP FUNCTION raw_fragments_moves_v2();
