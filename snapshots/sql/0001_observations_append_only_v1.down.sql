DROP TRIGGER observations_append_only ON observations;
DROP FUNCTION observations_append_only_v1();
