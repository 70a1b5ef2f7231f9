ALTER TABLE schema_registry ADD CONSTRAINT schema_registry_one_active EXCLUDE USING btree (entity_type WITH =, COALESCE(user_id, ('-1'::integer)::bigint) WITH =) WHERE (is_active) DEFERRABLE;

ALTER TABLE user_schema_extensions ADD CONSTRAINT user_schema_extensions_one_active EXCLUDE USING btree (user_id WITH =, entity_type WITH =) WHERE (is_active) DEFERRABLE;

CREATE OR REPLACE FUNCTION public.audit_events_append_only_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'The audit log is append-only; % of event % is refused.', TG_OP, OLD.id
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'audit_events_append_only',
              TABLE = TG_TABLE_NAME;
END
$function$;

CREATE OR REPLACE FUNCTION public.observations_append_only_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'Observations are append-only; % of observation % is refused.', TG_OP, OLD.id
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'observations_append_only',
              TABLE = TG_TABLE_NAME;
END
$function$;

CREATE OR REPLACE FUNCTION public.schema_epochs_raised_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.schema_registry_immutable_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.schemas_identity_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF (NEW.id, NEW.entity_type, NEW.user_id) IS DISTINCT FROM (OLD.id, OLD.entity_type, OLD.user_id) THEN
        RAISE EXCEPTION 'Schema % keeps its entity type and its owner.', OLD.id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'schemas_identity',
                  TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION public.user_schema_extensions_immutable_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
$function$;

CREATE TRIGGER audit_events_append_only BEFORE DELETE OR UPDATE ON public.audit_events FOR EACH ROW EXECUTE FUNCTION audit_events_append_only_v1();

CREATE TRIGGER observations_append_only BEFORE DELETE OR UPDATE ON public.observations FOR EACH ROW EXECUTE FUNCTION observations_append_only_v1();

CREATE TRIGGER schema_registry_epoch_delete AFTER DELETE ON public.schema_registry REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER schema_registry_epoch_insert AFTER INSERT ON public.schema_registry REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER schema_registry_epoch_update AFTER UPDATE ON public.schema_registry REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER schema_registry_immutable BEFORE INSERT OR DELETE OR UPDATE ON public.schema_registry FOR EACH ROW EXECUTE FUNCTION schema_registry_immutable_v1();

CREATE TRIGGER schemas_identity BEFORE UPDATE ON public.schemas FOR EACH ROW EXECUTE FUNCTION schemas_identity_v1();

CREATE TRIGGER user_schema_extensions_epoch_delete AFTER DELETE ON public.user_schema_extensions REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER user_schema_extensions_epoch_insert AFTER INSERT ON public.user_schema_extensions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER user_schema_extensions_epoch_update AFTER UPDATE ON public.user_schema_extensions REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION schema_epochs_raised_v1();

CREATE TRIGGER user_schema_extensions_immutable BEFORE DELETE OR UPDATE ON public.user_schema_extensions FOR EACH ROW EXECUTE FUNCTION user_schema_extensions_immutable_v1();
