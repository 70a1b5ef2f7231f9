-- Guards: the audit log is append-only.
-- Why here: a log that whoever is being logged can edit proves nothing; psql must not get round it either.
-- Why again: an erasure clears what events say of whom it erases, and leaves that they happened: when, who by their
-- number, what, and to what.
CREATE FUNCTION audit_events_append_only_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND (NEW.id, NEW.at, NEW.actor_id, NEW.action, NEW.target_type, NEW.target_id)
           IS NOT DISTINCT FROM (OLD.id, OLD.at, OLD.actor_id, OLD.action, OLD.target_type, OLD.target_id)
       AND (erasure_tells_v1(OLD)
            OR erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{actor_name,before,after,reason}'))
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'The audit log is append-only; % of event % is refused.', TG_OP, OLD.id
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'audit_events_append_only',
              TABLE = TG_TABLE_NAME;
END
$$;

CREATE OR REPLACE TRIGGER audit_events_append_only
    BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_append_only_v2();
