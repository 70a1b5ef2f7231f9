-- Guards: a proposal moves only as listed; what is approved and applied is the very content that enough logins other
-- than its author and last editor approved, after a trial of that content; decisions, comments and finished trials are
-- as they were made. Stamps: the hash of the content, when it was edited and when it moved, and the round: each edit, and
-- each coming into review, begins one, and approvals count in their own round only. So an approval does not come back
-- with content that was changed and changed back, perhaps by whoever gave it.
-- Why here: nothing global changes without the approvals it needs, whatever door is used; psql is one.
CREATE FUNCTION schema_proposal_content_v1(entity_type text, base_version_id bigint, edits jsonb) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT encode(sha256(convert_to(jsonb_build_array(entity_type, base_version_id, edits)::text, 'UTF8')), 'hex')
$$;

-- What each state may become. A state may always stay what it is, where nothing else forbids it.
CREATE FUNCTION schema_proposal_moves_v1(before text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE before
        WHEN 'draft' THEN '{in_review,withdrawn,stale}'
        WHEN 'in_review' THEN '{approved,changes_requested,rejected,withdrawn,expired,stale}'
        WHEN 'changes_requested' THEN '{in_review,withdrawn,expired,stale}'
        WHEN 'approved' THEN '{in_review,changes_requested,rejected,applied,failed,withdrawn,expired,stale}'
        WHEN 'failed' THEN '{in_review,changes_requested,rejected,applied,withdrawn,expired,stale}'
        WHEN 'stale' THEN '{draft,withdrawn,expired}'
        WHEN 'applied' THEN '{undone}'
        ELSE '{}'
    END::text[]
$$;

-- How many logins approved the content of that hash in that round.
CREATE FUNCTION schema_proposal_approvals_v1(proposal bigint, hash text, round integer) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT count(DISTINCT decided_by_id) FROM schema_proposal_decisions
     WHERE proposal_id = proposal AND content_hash = hash AND round_number = round AND verdict = 'approve'
$$;

CREATE FUNCTION schema_proposal_refused_v1(message text, rule text, table_name text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', message
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = rule, TABLE = table_name;
END
$$;

CREATE FUNCTION schema_proposals_guarded_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    is_edited boolean;
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s cannot be deleted.', OLD.id), 'schema_proposals_kept', TG_TABLE_NAME);
    END IF;
    NEW.content_hash := schema_proposal_content_v1(NEW.entity_type, NEW.base_version_id, NEW.edits);
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'draft' THEN
            PERFORM schema_proposal_refused_v1(
                format('A proposal begins as a draft, not %s.', NEW.state), 'schema_proposals_moves', TG_TABLE_NAME);
        END IF;
        NEW.round_number := 1;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.entity_type, NEW.origin, NEW.subject, NEW.created_at)
       IS DISTINCT FROM (OLD.id, OLD.entity_type, OLD.origin, OLD.subject, OLD.created_at)
       OR (OLD.author_id IS NOT NULL AND NEW.author_id IS DISTINCT FROM OLD.author_id)
       OR (OLD.applied_version_id IS NOT NULL AND NEW.applied_version_id IS DISTINCT FROM OLD.applied_version_id)
       OR (OLD.submitted_at IS NOT NULL AND NEW.submitted_at IS NULL)
    THEN
        PERFORM schema_proposal_refused_v1(
            format('What proposal %s is about, and who drafted it, stays as it is.', OLD.id),
            'schema_proposals_immutable', TG_TABLE_NAME);
    END IF;
    is_edited := NEW.content_hash <> OLD.content_hash;
    NEW.round_number := OLD.round_number;
    IF is_edited OR (NEW.state = 'in_review' AND OLD.state <> 'in_review') THEN
        NEW.round_number := OLD.round_number + 1;
    END IF;
    -- Who edited it last is who must not approve: it changes with an edit and not otherwise, and an edit has somebody
    -- who made it, but for what an analysis found and nobody has taken over yet.
    IF (NOT is_edited AND NEW.last_editor_id IS DISTINCT FROM OLD.last_editor_id)
       OR (is_edited AND NEW.last_editor_id IS NULL
           AND NOT (NEW.origin = 'analysis' AND NEW.author_id IS NULL AND NEW.state = 'draft'))
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Whoever edits proposal %s is its last editor.', OLD.id),
            'schema_proposals_last_editor', TG_TABLE_NAME);
    END IF;
    IF NEW.state <> OLD.state THEN
        IF NOT NEW.state = ANY(schema_proposal_moves_v1(OLD.state)) THEN
            PERFORM schema_proposal_refused_v1(
                format('Proposal %s is %s and cannot become %s.', OLD.id, OLD.state, NEW.state),
                'schema_proposals_moves', TG_TABLE_NAME);
        END IF;
        NEW.moved_at := statement_timestamp();
    END IF;
    IF is_edited THEN
        IF OLD.state NOT IN ('draft', 'in_review', 'changes_requested', 'approved', 'failed', 'stale')
           OR NEW.state NOT IN ('draft', 'in_review', 'changes_requested')
        THEN
            PERFORM schema_proposal_refused_v1(
                format('Proposal %s is %s: its content stays as it was.', OLD.id, OLD.state),
                'schema_proposals_immutable', TG_TABLE_NAME);
        END IF;
        NEW.edited_at := statement_timestamp();
    END IF;
    IF OLD.submitted_at IS NOT NULL AND NEW.required_approvals < OLD.required_approvals THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s needs %s approvals.', OLD.id, OLD.required_approvals),
            'schema_proposals_approvals', TG_TABLE_NAME);
    END IF;
    IF NEW.state IN ('approved', 'applied') AND NEW.state <> OLD.state
       AND schema_proposal_approvals_v1(NEW.id, NEW.content_hash, NEW.round_number) < NEW.required_approvals
    THEN
        PERFORM schema_proposal_refused_v1(
            format('Proposal %s needs %s approvals of what it says now.', OLD.id, NEW.required_approvals),
            'schema_proposals_approvals', TG_TABLE_NAME);
    END IF;
    RETURN NEW;
END
$$;

-- The proposal's row is locked first, so that it cannot change before the decision is there.
CREATE FUNCTION schema_proposal_decisions_guarded_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    present record;
BEGIN
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

CREATE FUNCTION schema_proposal_comments_kept_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM schema_proposal_refused_v1(
        format('Comment %s stays as it was written.', OLD.id), 'schema_proposal_comments_kept', TG_TABLE_NAME);
    RETURN NULL;
END
$$;

CREATE FUNCTION schema_proposal_trials_guarded_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
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
    RETURN NEW;
END
$$;

CREATE TRIGGER schema_proposals_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON schema_proposals
    FOR EACH ROW EXECUTE FUNCTION schema_proposals_guarded_v1();
CREATE TRIGGER schema_proposal_decisions_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON schema_proposal_decisions
    FOR EACH ROW EXECUTE FUNCTION schema_proposal_decisions_guarded_v1();
CREATE TRIGGER schema_proposal_comments_kept
    BEFORE UPDATE OR DELETE ON schema_proposal_comments
    FOR EACH ROW EXECUTE FUNCTION schema_proposal_comments_kept_v1();
CREATE TRIGGER schema_proposal_trials_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON schema_proposal_trials
    FOR EACH ROW EXECUTE FUNCTION schema_proposal_trials_guarded_v1();
