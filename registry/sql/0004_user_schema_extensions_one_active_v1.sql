-- Guards: at most one revision of a user's extension of an entity type is in force (I5).
-- Why an exclusion constraint: a new revision takes the place of the one before in one transaction. Deferrable,
-- checked at the end of each statement, as for versions.
ALTER TABLE user_schema_extensions
    ADD CONSTRAINT user_schema_extensions_one_active
    EXCLUDE USING btree (user_id WITH =, entity_type WITH =)
    WHERE (is_active)
    DEFERRABLE INITIALLY IMMEDIATE;
