DROP TRIGGER schemas_identity ON schemas;
DROP FUNCTION schemas_identity_v1();
