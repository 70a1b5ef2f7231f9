-- Guards: a schema version never changes but for whether it is in force, belongs to the type and owner of its
-- schema, and cannot be deleted once it was in force (I5).
-- Why here: stored observations and snapshots name the version they were made under; were it to change, nobody
-- could say any more why a value is what it is.
CREATE FUNCTION schema_registry_immutable_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.first_activated_at IS NOT NULL THEN
            RAISE EXCEPTION 'Version %.%.% of % was in force and cannot be deleted.',
                OLD.major, OLD.minor, OLD.patch, OLD.entity_type
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'schema_registry_kept',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN OLD;
    END IF;

    IF TG_OP = 'INSERT' THEN
        PERFORM 1 FROM schemas AS s
            WHERE s.id = NEW.schema_id
              AND s.entity_type = NEW.entity_type
              AND s.user_id IS NOT DISTINCT FROM NEW.user_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'A version must have the entity type and the owner of its schema %.', NEW.schema_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'schema_registry_owner',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NEW;
    END IF;

    IF (NEW.id, NEW.schema_id, NEW.entity_type, NEW.user_id, NEW.major, NEW.minor, NEW.patch,
        NEW.definition, NEW.definition_hash, NEW.note, NEW.created_at, NEW.created_by_id)
       IS DISTINCT FROM
       (OLD.id, OLD.schema_id, OLD.entity_type, OLD.user_id, OLD.major, OLD.minor, OLD.patch,
        OLD.definition, OLD.definition_hash, OLD.note, OLD.created_at, OLD.created_by_id)
       OR (OLD.first_activated_at IS NOT NULL AND NEW.first_activated_at IS DISTINCT FROM OLD.first_activated_at)
    THEN
        RAISE EXCEPTION 'Version %.%.% of % is immutable; register a new version instead.',
            OLD.major, OLD.minor, OLD.patch, OLD.entity_type
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'schema_registry_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER schema_registry_immutable
    BEFORE INSERT OR UPDATE OR DELETE ON schema_registry
    FOR EACH ROW EXECUTE FUNCTION schema_registry_immutable_v1();
