-- Says: what the erasure that this transaction is marked with may touch. The mark is schemaevo.erasing, the number of an
-- erasure, set for one transaction.
-- Why here: data that is append-only everywhere else goes for good. A mark alone opens nothing: there has to be an
-- erasure that runs, and what goes has to be its owner's, or its entity's, as far as the row tells.
CREATE FUNCTION erasure_marked_v1() RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN current_setting('schemaevo.erasing', true) ~ '^[0-9]{1,18}$'
                THEN current_setting('schemaevo.erasing', true)::bigint END
$$;

-- Whether a row of that owner may go, which is about that entity, or about none.
CREATE FUNCTION erasure_reaches_v1(owner bigint, entity uuid) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    marked CONSTANT bigint := erasure_marked_v1();
BEGIN
    RETURN marked IS NOT NULL AND EXISTS (
        SELECT 1 FROM erasures AS e
         WHERE e.id = marked AND e.finished_at IS NULL AND e.user_id = owner
           AND (e.entity_id IS NULL OR e.entity_id = entity));
END
$$;

-- Whether a row that stays may be cleared: only these columns change, and one of them names who is erased.
CREATE FUNCTION erasure_clears_v1(before jsonb, after jsonb, texts text[]) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    marked CONSTANT bigint := erasure_marked_v1();
BEGIN
    RETURN marked IS NOT NULL AND before - texts = after - texts AND EXISTS (
        SELECT 1
          FROM erasures AS e
         CROSS JOIN LATERAL jsonb_array_elements_text(e.names) AS called (name)
         CROSS JOIN LATERAL unnest(texts) AS told (text_column)
         WHERE e.id = marked AND e.finished_at IS NULL
           AND (strpos(lower(before ->> told.text_column), lower(called.name)) > 0
                -- As JSON writes it.
                OR strpos(lower(before ->> told.text_column),
                          lower(substr(to_jsonb(called.name)::text, 2, length(to_jsonb(called.name)::text) - 2))) > 0));
END
$$;

CREATE FUNCTION erasure_uuid_v1(text_of_it text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN text_of_it ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN text_of_it::uuid END
$$;

-- Whether an event of the audit log is about what is erased, or of whom: by its target, by the owner or the entity that
-- its states name, by who acted. Owners have any number of entities: these are looked up, while they are there.
CREATE FUNCTION erasure_tells_v1(event audit_events) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    marked CONSTANT bigint := erasure_marked_v1();
BEGIN
    RETURN marked IS NOT NULL AND EXISTS (
        SELECT 1 FROM erasures AS e
         WHERE e.id = marked AND e.finished_at IS NULL
           AND (coalesce(e.targets -> event.target_type ? event.target_id, false)
                OR (e.entity_id IS NULL
                    AND (event.actor_id = e.user_id
                         OR e.user_id::text IN (event.before ->> 'owner', event.after ->> 'owner')
                         OR (event.target_type = 'snapshot' AND EXISTS (
                                SELECT 1 FROM entity_snapshots AS s
                                 WHERE s.user_id = e.user_id AND s.id = erasure_uuid_v1(event.target_id)))))
                OR e.entity_id::text IN (event.before ->> 'entity', event.after ->> 'entity')));
END
$$;

-- Guards: an erasure begins unfinished, is of whom it was asked for, ends once, and stays.
CREATE FUNCTION erasures_guarded_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.finished_at IS NULL THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.user_id, NEW.entity_type, NEW.entity_id, NEW.requested_by_id, NEW.requested_at)
           IS NOT DISTINCT FROM
           (OLD.id, OLD.user_id, OLD.entity_type, OLD.entity_id, OLD.requested_by_id, OLD.requested_at)
           AND (OLD.finished_at IS NULL
                OR (NEW.finished_at = OLD.finished_at
                    AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{reason,requested_by_name}')))
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'Erasure % stays as it was asked for, and as it ended.', coalesce(OLD.id, NEW.id)
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'erasures_guarded',
              TABLE = TG_TABLE_NAME;
END
$$;

CREATE TRIGGER erasures_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON erasures
    FOR EACH ROW EXECUTE FUNCTION erasures_guarded_v1();
