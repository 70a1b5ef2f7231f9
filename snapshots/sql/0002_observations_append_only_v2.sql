-- Guards: observations are append-only.
-- Why here: snapshots are merged from them one by one and never look back; an edited observation would leave
-- every snapshot that holds it silently wrong.
-- Why again: an erasure deletes those of its owner, or of its entity, with the snapshot (kernel/sql/0002_erasures_v1.sql).
CREATE FUNCTION observations_append_only_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, OLD.entity_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'Observations are append-only; % of observation % is refused.', TG_OP, OLD.id
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'observations_append_only',
              TABLE = TG_TABLE_NAME;
END
$$;

CREATE OR REPLACE TRIGGER observations_append_only
    BEFORE UPDATE OR DELETE ON observations
    FOR EACH ROW EXECUTE FUNCTION observations_append_only_v2();
