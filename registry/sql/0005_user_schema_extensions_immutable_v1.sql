-- Guards: a revision of an extension never changes but for whether it is in force, and is never deleted (I5).
-- Why here: snapshots name the revision they were computed under, and undo reads what was absorbed from it.
CREATE FUNCTION user_schema_extensions_immutable_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Revision % of the extension of % was in force and cannot be deleted.',
            OLD.revision, OLD.entity_type
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_extensions_kept',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF (NEW.id, NEW.user_id, NEW.entity_type, NEW.revision, NEW.base_schema_version, NEW.additional_fields,
        NEW.field_overrides, NEW.content_hash, NEW.cause, NEW.cause_version_id, NEW.absorbed, NEW.note,
        NEW.created_at, NEW.created_by_id)
       IS DISTINCT FROM
       (OLD.id, OLD.user_id, OLD.entity_type, OLD.revision, OLD.base_schema_version, OLD.additional_fields,
        OLD.field_overrides, OLD.content_hash, OLD.cause, OLD.cause_version_id, OLD.absorbed, OLD.note,
        OLD.created_at, OLD.created_by_id)
    THEN
        RAISE EXCEPTION 'Revision % of the extension of % is immutable; write a new revision instead.',
            OLD.revision, OLD.entity_type
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_extensions_immutable',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER user_schema_extensions_immutable
    BEFORE UPDATE OR DELETE ON user_schema_extensions
    FOR EACH ROW EXECUTE FUNCTION user_schema_extensions_immutable_v1();
