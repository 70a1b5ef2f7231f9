DROP TRIGGER user_schema_quotas_noticed ON user_schema_quotas;
DROP FUNCTION user_schema_quotas_noticed_v1();
