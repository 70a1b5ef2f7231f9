-- Stamps: the epoch of a type and owner goes up with every change of what is in force for them.
-- Why here: processes trust what they hold as long as the epoch stands still (I6). A change that forgot to raise
-- it, in a service or in psql, would be seen by nobody. Owners ascending, so that two statements over several of
-- them cannot wait for each other.
CREATE FUNCTION schema_epochs_raised_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO schema_epochs AS e (entity_type, user_id, epoch)
            SELECT DISTINCT entity_type, user_id, 1 FROM new_rows WHERE is_active
             ORDER BY entity_type, user_id
            ON CONFLICT (entity_type, user_id) DO UPDATE SET epoch = e.epoch + 1;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO schema_epochs AS e (entity_type, user_id, epoch)
            SELECT DISTINCT n.entity_type, n.user_id, 1
              FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.is_active <> n.is_active
             ORDER BY n.entity_type, n.user_id
            ON CONFLICT (entity_type, user_id) DO UPDATE SET epoch = e.epoch + 1;
    ELSE
        INSERT INTO schema_epochs AS e (entity_type, user_id, epoch)
            SELECT DISTINCT entity_type, user_id, 1 FROM old_rows WHERE is_active
             ORDER BY entity_type, user_id
            ON CONFLICT (entity_type, user_id) DO UPDATE SET epoch = e.epoch + 1;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER schema_registry_epoch_insert
    AFTER INSERT ON schema_registry REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();
CREATE TRIGGER schema_registry_epoch_update
    AFTER UPDATE ON schema_registry REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();
CREATE TRIGGER schema_registry_epoch_delete
    AFTER DELETE ON schema_registry REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER user_schema_extensions_epoch_insert
    AFTER INSERT ON user_schema_extensions REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();
CREATE TRIGGER user_schema_extensions_epoch_update
    AFTER UPDATE ON user_schema_extensions REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();
CREATE TRIGGER user_schema_extensions_epoch_delete
    AFTER DELETE ON user_schema_extensions REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();
