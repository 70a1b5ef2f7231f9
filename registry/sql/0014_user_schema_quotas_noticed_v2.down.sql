CREATE OR REPLACE TRIGGER user_schema_quotas_noticed
    AFTER INSERT OR UPDATE ON user_schema_quotas
    FOR EACH ROW EXECUTE FUNCTION user_schema_quotas_noticed_v1();
DROP FUNCTION user_schema_quotas_noticed_v2();
