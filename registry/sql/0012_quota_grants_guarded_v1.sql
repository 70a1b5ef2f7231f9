-- Guards: a grant says what its request's decision says, is never changed, and whoever asked for more for an owner
-- does not raise that owner's maxima themselves. Stamps: the maxima of the quota are what the grants come to.
-- Why here: a grant is what a maximum is made of; one written without a decision would be the way round it.
-- The quota's row is locked before the grants are read, so that of two grants the newer is seen by whoever is second.
CREATE FUNCTION quota_grants_guarded_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    present record;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Grant % cannot be deleted.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_grants_kept',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.user_id, NEW.request_id, NEW.max_schemas, NEW.max_fields, NEW.until, NEW.granted_by_id,
            NEW.granted_by_name, NEW.note, NEW.granted_at)
           IS DISTINCT FROM
           (OLD.id, OLD.user_id, OLD.request_id, OLD.max_schemas, OLD.max_fields, OLD.until, OLD.granted_by_id,
            OLD.granted_by_name, OLD.note, OLD.granted_at)
           OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at)
        THEN
            RAISE EXCEPTION 'Grant % is immutable; it can only end.', OLD.id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_grants_immutable',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END IF;

    IF NEW.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'A grant begins before it ends.'
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'quota_grants_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    INSERT INTO user_schema_quotas (user_id, max_schemas, max_fields)
        SELECT NEW.user_id, m.max_schemas, m.max_fields FROM user_schema_maxima_v1(NEW.user_id) AS m
        ON CONFLICT (user_id) DO NOTHING;
    SELECT q.max_schemas, q.max_fields INTO present
      FROM user_schema_quotas AS q WHERE q.user_id = NEW.user_id FOR UPDATE;
    IF NEW.request_id IS NOT NULL THEN
        PERFORM 1 FROM quota_requests AS r
         WHERE r.id = NEW.request_id AND r.state = 'approved'
           AND (r.user_id, r.granted_max_schemas, r.granted_max_fields, r.granted_until, r.decided_by_id)
               IS NOT DISTINCT FROM
               (NEW.user_id, NEW.max_schemas, NEW.max_fields, NEW.until, NEW.granted_by_id);
        IF NOT FOUND THEN
            RAISE EXCEPTION 'Upgrade request % was not decided like this.', NEW.request_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_grants_as_decided',
                      TABLE = TG_TABLE_NAME;
        END IF;
    ELSIF NEW.max_schemas > present.max_schemas OR NEW.max_fields > present.max_fields THEN
        PERFORM 1 FROM quota_requests AS r WHERE r.user_id = NEW.user_id AND r.asked_by_id = NEW.granted_by_id;
        IF FOUND THEN
            RAISE EXCEPTION 'Whoever asked for more for user % cannot grant it.', NEW.user_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'quota_grants_four_eyes',
                      TABLE = TG_TABLE_NAME;
        END IF;
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION quota_grants_applied_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM user_schema_quotas AS q WHERE q.user_id = NEW.user_id FOR UPDATE;
    UPDATE user_schema_quotas AS q
       SET max_schemas = m.max_schemas, max_fields = m.max_fields
      FROM user_schema_maxima_v1(NEW.user_id) AS m
     WHERE q.user_id = NEW.user_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER quota_grants_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON quota_grants
    FOR EACH ROW EXECUTE FUNCTION quota_grants_guarded_v1();
CREATE TRIGGER quota_grants_applied
    AFTER INSERT OR UPDATE ON quota_grants
    FOR EACH ROW EXECUTE FUNCTION quota_grants_applied_v1();
