-- Guards: a raw fragment lives as listed, whoever writes.
-- Why here: what is deleted is gone for good, and only what waited for its deletion may be; a promoted fragment that
-- became archived, say, would never be looked at again by any job.
-- Why again: an erasure deletes those of its owner, or of its entity, in whatever state (kernel/sql/0002_erasures_v1.sql).
CREATE FUNCTION raw_fragments_moves_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    -- Archived fragments are evidence and kept; only the job that an archive retention is set for says otherwise, for
    -- its own transaction.
    archive_ends CONSTANT boolean := current_setting('schemaevo.archive_ends', true) = 'yes';
    is_allowed boolean;
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, OLD.entity_id) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Fragment % is %, and only what is pending_deletion may be deleted.',
                        OLD.id, OLD.lifecycle_state
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'raw_fragments_moves',
                  TABLE = TG_TABLE_NAME;
    END IF;
    is_allowed := CASE OLD.lifecycle_state
        WHEN 'active' THEN NEW.lifecycle_state IN ('promoted', 'archived')
        WHEN 'archived' THEN NEW.lifecycle_state IN ('active', 'promoted')
                             OR (NEW.lifecycle_state = 'pending_deletion' AND coalesce(archive_ends, false))
        WHEN 'promoted' THEN NEW.lifecycle_state IN ('active', 'pending_deletion')
        WHEN 'pending_deletion' THEN NEW.lifecycle_state IN ('active', 'promoted')
        ELSE false
    END;
    IF NOT is_allowed THEN
        RAISE EXCEPTION 'Fragment % cannot go from % to %.', OLD.id, OLD.lifecycle_state, NEW.lifecycle_state
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'raw_fragments_moves',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$$;

-- The conditions are asked without a call of the function: what is only seen again pays nothing.
CREATE OR REPLACE TRIGGER raw_fragments_moves
    BEFORE UPDATE ON raw_fragments
    FOR EACH ROW WHEN (OLD.lifecycle_state IS DISTINCT FROM NEW.lifecycle_state)
    EXECUTE FUNCTION raw_fragments_moves_v2();
CREATE OR REPLACE TRIGGER raw_fragments_deletions
    BEFORE DELETE ON raw_fragments
    FOR EACH ROW WHEN (OLD.lifecycle_state <> 'pending_deletion')
    EXECUTE FUNCTION raw_fragments_moves_v2();
