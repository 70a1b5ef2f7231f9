-- Guards: what 0002, 0005, 0009, 0011, 0012 and 0015 guard.
-- Why again: an erasure takes what belongs to an owner, and clears what other rows say of them. The mark of its
-- transaction opens these guards for just that (kernel/sql/0002_erasures_v1.sql). Nothing else is changed.

-- What is left of a trial's result when the values of whom the marked erasure erases have gone. Each of its samples names
-- its owner and its entity.
CREATE FUNCTION schema_proposal_trial_left_v1(result jsonb) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN jsonb_typeof(result -> 'values') = 'array' THEN jsonb_set(result, '{values}', (
        SELECT coalesce(jsonb_agg(sample ORDER BY place), '[]')
          FROM jsonb_array_elements(result -> 'values') WITH ORDINALITY AS s (sample, place)
         WHERE NOT EXISTS (
            SELECT 1 FROM erasures AS e
             WHERE e.id = erasure_marked_v1() AND e.user_id::text = sample ->> 'owner'
               AND (e.entity_id IS NULL OR e.entity_id::text = sample ->> 'entity'))))
    ELSE result END
$$;

-- The same for whom an erasure has begun to erase, or ended to, since a trial was asked for.
CREATE FUNCTION schema_proposal_trial_unerased_v1(result jsonb, since timestamptz) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN jsonb_typeof(result -> 'values') = 'array' THEN jsonb_set(result, '{values}', (
        SELECT coalesce(jsonb_agg(sample ORDER BY place), '[]')
          FROM jsonb_array_elements(result -> 'values') WITH ORDINALITY AS s (sample, place)
         WHERE NOT EXISTS (
            SELECT 1 FROM erasures AS e
             WHERE (e.finished_at IS NULL OR e.finished_at >= since) AND e.user_id::text = sample ->> 'owner'
               AND (e.entity_id IS NULL OR e.entity_id::text = sample ->> 'entity'))))
    ELSE result END
$$;

CREATE FUNCTION schema_registry_immutable_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, NULL) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{note}')
    THEN
        RETURN NEW;
    END IF;
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

CREATE FUNCTION user_schema_extensions_immutable_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, NULL) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{note}')
    THEN
        RETURN NEW;
    END IF;
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

CREATE FUNCTION user_schema_quotas_guarded_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    counted record;
    allowed record;
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, NULL) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF OLD.schema_count > 0 OR OLD.total_fields > 0 THEN
            RAISE EXCEPTION 'The quota of user % counts something and cannot be deleted.', OLD.user_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'user_schema_quotas_kept',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN OLD;
    END IF;

    IF TG_OP = 'UPDATE' AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (OLD.max_schemas, OLD.max_fields) THEN
        -- From now on the transaction may put back what is there now, and not what was there before.
        NEW.peak_schema_count := NEW.schema_count;
        NEW.peak_total_fields := NEW.total_fields;
    END IF;
    IF pg_trigger_depth() > 1 THEN
        RETURN NEW;
    END IF;

    SELECT c.schema_count, c.total_fields INTO counted FROM user_schema_counts_v1(ARRAY[NEW.user_id]) AS c;
    SELECT m.max_schemas, m.max_fields INTO allowed FROM user_schema_maxima_v1(NEW.user_id) AS m;
    IF TG_OP = 'INSERT' THEN
        -- Not refused: who makes sure that there is a row may have looked before somebody else's commit.
        NEW.schema_count := counted.schema_count;
        NEW.total_fields := counted.total_fields;
        NEW.max_schemas := allowed.max_schemas;
        NEW.max_fields := allowed.max_fields;
    ELSIF (NEW.schema_count, NEW.total_fields) IS DISTINCT FROM (OLD.schema_count, OLD.total_fields)
       AND (NEW.schema_count, NEW.total_fields) IS DISTINCT FROM (counted.schema_count, counted.total_fields)
    THEN
        RAISE EXCEPTION 'User % has % schemas and % fields; the counters say nothing else.',
            NEW.user_id, counted.schema_count, counted.total_fields
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_counted',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (OLD.max_schemas, OLD.max_fields)
       AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (allowed.max_schemas, allowed.max_fields)
    THEN
        RAISE EXCEPTION 'User % was granted % schemas and % fields; a maximum changes by a grant.',
            NEW.user_id, allowed.max_schemas, allowed.max_fields
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_granted',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.user_id <> OLD.user_id THEN
        RAISE EXCEPTION 'The quota of user % keeps its owner.', OLD.user_id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_owner',
                  TABLE = TG_TABLE_NAME;
    END IF;
    -- No transaction is known to have written these: nothing but what is there now may be put back.
    NEW.peak_schema_count := NEW.schema_count;
    NEW.peak_total_fields := NEW.total_fields;
    NEW.changed_in := 0;
    NEW.changed_at := transaction_timestamp();
    RETURN NEW;
END
$$;

CREATE FUNCTION quota_requests_moves_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, NULL) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{reason,decision_note}')
    THEN
        RETURN NEW;
    END IF;
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

CREATE FUNCTION quota_grants_guarded_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    present record;
BEGIN
    IF TG_OP = 'DELETE' AND erasure_reaches_v1(OLD.user_id, NULL) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{note,granted_by_name}')
    THEN
        RETURN NEW;
    END IF;
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

CREATE FUNCTION schema_proposal_decisions_guarded_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    present record;
BEGIN
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{note}')
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM schema_proposal_refused_v1(
            format('Decision %s stays as it was made.', OLD.id), 'schema_proposal_decisions_kept', TG_TABLE_NAME);
    END IF;
    SELECT p.state, p.content_hash, p.author_id, p.last_editor_id, p.round_number INTO present
      FROM schema_proposals AS p WHERE p.id = NEW.proposal_id FOR UPDATE;
    IF present.state NOT IN ('in_review', 'approved', 'failed')
       OR (NEW.verdict = 'approve' AND present.state <> 'in_review')
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s is %s; there is nothing to decide.', NEW.proposal_id, present.state),
            'schema_proposal_decisions_in_review', TG_TABLE_NAME);
    END IF;
    IF (NEW.content_hash, NEW.author_id, NEW.last_editor_id)
       IS DISTINCT FROM (present.content_hash, present.author_id, present.last_editor_id)
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s is not what was decided about.', NEW.proposal_id),
            'schema_proposal_decisions_bound', TG_TABLE_NAME);
    END IF;
    NEW.round_number := present.round_number;
    IF NEW.verdict = 'approve' THEN
        PERFORM 1 FROM schema_proposal_trials AS t
          WHERE t.proposal_id = NEW.proposal_id AND t.act = 'apply' AND t.state = 'done'
            AND t.content_hash = present.content_hash;
        IF NOT FOUND THEN
            PERFORM schema_proposal_refused_v1(
                format('What proposal %s says now was not tried.', NEW.proposal_id),
                'schema_proposal_decisions_tried', TG_TABLE_NAME);
        END IF;
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION schema_proposal_comments_kept_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{text}')
    THEN
        RETURN NEW;
    END IF;
    PERFORM schema_proposal_refused_v1(
        format('Comment %s stays as it was written.', OLD.id), 'schema_proposal_comments_kept', TG_TABLE_NAME);
    RETURN NULL;
END
$$;

CREATE FUNCTION schema_proposal_trials_guarded_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- Of the values that a trial keeps those go that are of whom is erased, and nothing else. What is being tried while
    -- an erasure runs may have read them before they went.
    IF TG_OP = 'UPDATE' AND erasure_marked_v1() IS NOT NULL
       AND to_jsonb(NEW) - '{result,error}'::text[] = to_jsonb(OLD) - '{result,error}'::text[]
       AND ((NEW.error = OLD.error AND NEW.result = schema_proposal_trial_left_v1(OLD.result))
            OR erasure_clears_v1(to_jsonb(OLD), to_jsonb(NEW), '{error}'))
    THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'waiting' THEN
            PERFORM schema_proposal_refused_v1(
                format('A trial begins waiting, not %s.', NEW.state), 'schema_proposal_trials_kept', TG_TABLE_NAME);
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.state IN ('done', 'failed')
       OR (NEW.id, NEW.proposal_id, NEW.act, NEW.content_hash)
          IS DISTINCT FROM (OLD.id, OLD.proposal_id, OLD.act, OLD.content_hash)
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Trial %s stays as it is.', OLD.id), 'schema_proposal_trials_kept', TG_TABLE_NAME);
    END IF;
    IF NEW.state = 'done' THEN
        NEW.result := schema_proposal_trial_unerased_v1(NEW.result, OLD.asked_at);
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER schema_registry_immutable
    BEFORE INSERT OR UPDATE OR DELETE ON schema_registry
    FOR EACH ROW EXECUTE FUNCTION schema_registry_immutable_v2();
CREATE OR REPLACE TRIGGER user_schema_extensions_immutable
    BEFORE UPDATE OR DELETE ON user_schema_extensions
    FOR EACH ROW EXECUTE FUNCTION user_schema_extensions_immutable_v2();
CREATE OR REPLACE TRIGGER user_schema_quotas_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON user_schema_quotas
    FOR EACH ROW EXECUTE FUNCTION user_schema_quotas_guarded_v2();
CREATE OR REPLACE TRIGGER quota_requests_moves
    BEFORE INSERT OR UPDATE OR DELETE ON quota_requests
    FOR EACH ROW EXECUTE FUNCTION quota_requests_moves_v2();
CREATE OR REPLACE TRIGGER quota_grants_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON quota_grants
    FOR EACH ROW EXECUTE FUNCTION quota_grants_guarded_v2();
CREATE OR REPLACE TRIGGER schema_proposal_decisions_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON schema_proposal_decisions
    FOR EACH ROW EXECUTE FUNCTION schema_proposal_decisions_guarded_v2();
CREATE OR REPLACE TRIGGER schema_proposal_comments_kept
    BEFORE UPDATE OR DELETE ON schema_proposal_comments
    FOR EACH ROW EXECUTE FUNCTION schema_proposal_comments_kept_v2();
CREATE OR REPLACE TRIGGER schema_proposal_trials_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON schema_proposal_trials
    FOR EACH ROW EXECUTE FUNCTION schema_proposal_trials_guarded_v2();
