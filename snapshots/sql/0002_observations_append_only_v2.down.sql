CREATE OR REPLACE TRIGGER observations_append_only
    BEFORE UPDATE OR DELETE ON observations
    FOR EACH ROW EXECUTE FUNCTION observations_append_only_v1();
DROP FUNCTION observations_append_only_v2();
