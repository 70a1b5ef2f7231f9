-- Guards: at most one version per entity type and owner is in force (I5).
-- Why an exclusion constraint: a partial unique index lets two global versions in, their owner being NULL, and
-- refuses the swap of two versions in one statement. Deferrable, checked at the end of each statement.
ALTER TABLE schema_registry
    ADD CONSTRAINT schema_registry_one_active
    EXCLUDE USING btree (entity_type WITH =, coalesce(user_id, -1) WITH =)
    WHERE (is_active)
    DEFERRABLE INITIALLY IMMEDIATE;
