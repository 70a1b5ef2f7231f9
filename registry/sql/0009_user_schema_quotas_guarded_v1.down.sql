DROP TRIGGER user_schema_quotas_guarded ON user_schema_quotas;
DROP FUNCTION user_schema_quotas_guarded_v1();
