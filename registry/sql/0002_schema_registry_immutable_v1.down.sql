DROP TRIGGER schema_registry_immutable ON schema_registry;
DROP FUNCTION schema_registry_immutable_v1();
