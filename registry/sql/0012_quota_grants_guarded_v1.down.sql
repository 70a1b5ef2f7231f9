DROP TRIGGER quota_grants_applied ON quota_grants;
DROP TRIGGER quota_grants_guarded ON quota_grants;
DROP FUNCTION quota_grants_applied_v1();
DROP FUNCTION quota_grants_guarded_v1();
