-- Guards: counters and maxima of a quota follow from what they count, and from grants; nobody sets them otherwise.
-- Why here: an UPDATE of a counter, a maximum, or of the peak would be the shortest way round every limit. What the
-- triggers on the counted tables and on grants write comes from within a trigger and is right as it stands; what
-- comes from outside, a recount, has to agree with the count, and a new row is what it has to be, whatever it says.
-- A quota that counts something cannot be deleted.
CREATE FUNCTION user_schema_quotas_guarded_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    counted record;
    allowed record;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.schema_count > 0 OR OLD.total_fields > 0 THEN
            RAISE EXCEPTION 'The quota of user % counts something and cannot be deleted.', OLD.user_id
                USING ERRCODE = 'integrity_constraint_violation',
                      CONSTRAINT = 'user_schema_quotas_kept',
                      TABLE = TG_TABLE_NAME;
        END IF;
        RETURN OLD;
    END IF;

    IF TG_OP = 'UPDATE' AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (OLD.max_schemas, OLD.max_fields) THEN
        -- From now on the transaction may put back what is there now, and not what was there before.
        NEW.peak_schema_count := NEW.schema_count;
        NEW.peak_total_fields := NEW.total_fields;
    END IF;
    IF pg_trigger_depth() > 1 THEN
        RETURN NEW;
    END IF;

    SELECT c.schema_count, c.total_fields INTO counted FROM user_schema_counts_v1(ARRAY[NEW.user_id]) AS c;
    SELECT m.max_schemas, m.max_fields INTO allowed FROM user_schema_maxima_v1(NEW.user_id) AS m;
    IF TG_OP = 'INSERT' THEN
        -- Not refused: who makes sure that there is a row may have looked before somebody else's commit.
        NEW.schema_count := counted.schema_count;
        NEW.total_fields := counted.total_fields;
        NEW.max_schemas := allowed.max_schemas;
        NEW.max_fields := allowed.max_fields;
    ELSIF (NEW.schema_count, NEW.total_fields) IS DISTINCT FROM (OLD.schema_count, OLD.total_fields)
       AND (NEW.schema_count, NEW.total_fields) IS DISTINCT FROM (counted.schema_count, counted.total_fields)
    THEN
        RAISE EXCEPTION 'User % has % schemas and % fields; the counters say nothing else.',
            NEW.user_id, counted.schema_count, counted.total_fields
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_counted',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (OLD.max_schemas, OLD.max_fields)
       AND (NEW.max_schemas, NEW.max_fields) IS DISTINCT FROM (allowed.max_schemas, allowed.max_fields)
    THEN
        RAISE EXCEPTION 'User % was granted % schemas and % fields; a maximum changes by a grant.',
            NEW.user_id, allowed.max_schemas, allowed.max_fields
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_granted',
                  TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.user_id <> OLD.user_id THEN
        RAISE EXCEPTION 'The quota of user % keeps its owner.', OLD.user_id
            USING ERRCODE = 'integrity_constraint_violation',
                  CONSTRAINT = 'user_schema_quotas_owner',
                  TABLE = TG_TABLE_NAME;
    END IF;
    -- No transaction is known to have written these: nothing but what is there now may be put back.
    NEW.peak_schema_count := NEW.schema_count;
    NEW.peak_total_fields := NEW.total_fields;
    NEW.changed_in := 0;
    NEW.changed_at := transaction_timestamp();
    RETURN NEW;
END
$$;

CREATE TRIGGER user_schema_quotas_guarded
    BEFORE INSERT OR UPDATE OR DELETE ON user_schema_quotas
    FOR EACH ROW EXECUTE FUNCTION user_schema_quotas_guarded_v1();
