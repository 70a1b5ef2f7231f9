-- Guards: observations are append-only.
-- Why here: snapshots are merged from them one by one and never look back; an edited observation would leave
-- every snapshot that holds it silently wrong.
CREATE FUNCTION observations_append_only_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Observations are append-only; % of observation % is refused.', TG_OP, OLD.id
        USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'observations_append_only',
              TABLE = TG_TABLE_NAME;
END
$$;

CREATE TRIGGER observations_append_only
    BEFORE UPDATE OR DELETE ON observations
    FOR EACH ROW EXECUTE FUNCTION observations_append_only_v1();
