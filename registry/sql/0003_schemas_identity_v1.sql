-- Guards: a schema keeps its entity type and its owner.
-- Why here: its versions repeat both, and are compared with them only when they are inserted; a schema moved
-- away afterwards would leave versions in force for a type or an owner that is not theirs.
CREATE FUNCTION schemas_identity_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.entity_type, NEW.user_id) IS DISTINCT FROM (OLD.id, OLD.entity_type, OLD.user_id) THEN
        RAISE EXCEPTION 'Schema % keeps its entity type and its owner.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'schemas_identity',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER schemas_identity
    BEFORE UPDATE ON schemas
    FOR EACH ROW EXECUTE FUNCTION schemas_identity_v1();
