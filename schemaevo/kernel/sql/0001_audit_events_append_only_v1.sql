-- Guards: the audit log is append-only.
-- Why here: a log that whoever is being logged can edit proves nothing; psql must not get round it either.
CREATE FUNCTION audit_events_append_only_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit log is append-only; % of event % is refused.', TG_OP, OLD.id
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'audit_events_append_only',
              TABLE = TG_TABLE_NAME;
END
$$;

CREATE TRIGGER audit_events_append_only
    BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_append_only_v1();
