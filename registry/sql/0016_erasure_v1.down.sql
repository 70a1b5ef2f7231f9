CREATE OR REPLACE TRIGGER schema_registry_immutable
    BEFORE INSERT OR UPDATE OR DELETE ON schema_registry
    FOR EACH ROW EXECUTE FUNCTION schema_registry_immutable_v1();
CREATE OR REPLACE TRIGGER user_schema_extensions_immutable
    BEFORE UPDATE OR DELETE ON user_schema_extensions
    FOR EACH ROW EXECUTE FUNCTION user_schema_extensions_immutable_v1();
CREATE OR REPLACE TRIGGER user_schema_quotas_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON user_schema_quotas
    FOR EACH ROW EXECUTE FUNCTION user_schema_quotas_guarded_v1();
CREATE OR REPLACE TRIGGER quota_requests_moves
    BEFORE INSERT OR UPDATE OR DELETE ON quota_requests
    FOR EACH ROW EXECUTE FUNCTION quota_requests_moves_v1();
CREATE OR REPLACE TRIGGER quota_grants_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON quota_grants
    FOR EACH ROW EXECUTE FUNCTION quota_grants_guarded_v1();
CREATE OR REPLACE TRIGGER schema_proposal_decisions_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON schema_proposal_decisions
    FOR EACH ROW EXECUTE FUNCTION schema_proposal_decisions_guarded_v1();
CREATE OR REPLACE TRIGGER schema_proposal_comments_kept
    BEFORE UPDATE OR DELETE ON schema_proposal_comments
    FOR EACH ROW EXECUTE FUNCTION schema_proposal_comments_kept_v1();
CREATE OR REPLACE TRIGGER schema_proposal_trials_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON schema_proposal_trials
    FOR EACH ROW EXECUTE FUNCTION schema_proposal_trials_guarded_v1();
DROP FUNCTION schema_registry_immutable_v2();
DROP FUNCTION user_schema_extensions_immutable_v2();
DROP FUNCTION user_schema_quotas_guarded_v2();
DROP FUNCTION quota_requests_moves_v2();
DROP FUNCTION quota_grants_guarded_v2();
DROP FUNCTION schema_proposal_decisions_guarded_v2();
DROP FUNCTION schema_proposal_comments_kept_v2();
DROP FUNCTION schema_proposal_trials_guarded_v2();
DROP FUNCTION schema_proposal_trial_unerased_v1(jsonb, timestamptz);
DROP FUNCTION schema_proposal_trial_left_v1(jsonb);
