-- Guards: an upgrade request begins pending, is decided or withdrawn once, and is otherwise as it was asked.
-- Why here: who asked, for what and why is what the decision was about; a request that could be made decided, or be
-- changed after it was, would need no second pair of eyes (the CHECK on the table compares asker and decider).
CREATE FUNCTION quota_requests_moves_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Upgrade request % cannot be deleted.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_requests_kept',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' THEN
            RAISE EXCEPTION 'An upgrade request begins pending, not %.', NEW.state
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_requests_moves',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.user_id, NEW.asked_max_schemas, NEW.asked_max_fields, NEW.reason, NEW.asked_by_id, NEW.asked_at)
       IS DISTINCT FROM
       (OLD.id, OLD.user_id, OLD.asked_max_schemas, OLD.asked_max_fields, OLD.reason, OLD.asked_by_id, OLD.asked_at)
    THEN
        RAISE EXCEPTION 'Upgrade request % stays as it was asked.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_requests_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF OLD.state <> 'pending' AND NEW IS DISTINCT FROM OLD THEN
        RAISE EXCEPTION 'Upgrade request % is % already.', OLD.id, OLD.state
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_requests_moves',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER quota_requests_moves
    BEFORE INSERT OR UPDATE OR DELETE ON quota_requests
    FOR EACH ROW EXECUTE FUNCTION quota_requests_moves_v1();
