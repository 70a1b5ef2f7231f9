-- Stamps: a notice for every crossing of 80 and of 100 per cent of a maximum, once, and when it fell below again.
-- Why here: what comes up to a maximum by psql, by a grant that ended or by a maximum that was lowered fills it up just
-- as well, and of two who cross it at the same time only one does.
-- Why again: one revision takes the place of another in two statements, between which less is used. What fell below and
-- came back in one transaction has not fallen: its notice holds still, and nobody is told a second time.
CREATE FUNCTION user_schema_quotas_noticed_v2() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE'
       AND (NEW.schema_count, NEW.total_fields, NEW.max_schemas, NEW.max_fields)
           IS NOT DISTINCT FROM (OLD.schema_count, OLD.total_fields, OLD.max_schemas, OLD.max_fields)
    THEN
        RETURN NULL;
    END IF;
    UPDATE quota_notices AS n
       SET cleared_at = transaction_timestamp()
      FROM (VALUES ('schemas', NEW.schema_count, NEW.max_schemas),
                   ('fields', NEW.total_fields, NEW.max_fields)) AS l ("limit", usage, maximum)
     WHERE n.user_id = NEW.user_id AND n.cleared_at IS NULL AND n."limit" = l."limit"
       AND (l.usage = 0 OR l.usage::bigint * 100 < l.maximum::bigint * n.threshold);
    UPDATE quota_notices AS n
       SET cleared_at = NULL
      FROM (VALUES ('schemas', NEW.schema_count, NEW.max_schemas),
                   ('fields', NEW.total_fields, NEW.max_fields)) AS l ("limit", usage, maximum)
     WHERE n.user_id = NEW.user_id AND n."limit" = l."limit"
       -- The newest of its kind alone: of those only one may hold.
       AND n.id = (SELECT max(o.id) FROM quota_notices AS o
                    WHERE o.user_id = n.user_id AND o."limit" = n."limit" AND o.threshold = n.threshold)
       AND n.cleared_at = transaction_timestamp()
       AND l.usage > 0 AND l.usage::bigint * 100 >= l.maximum::bigint * n.threshold;
    INSERT INTO quota_notices (user_id, "limit", threshold, usage, maximum)
        SELECT NEW.user_id, l."limit", t.threshold, l.usage, l.maximum
          FROM (VALUES ('schemas', NEW.schema_count, NEW.max_schemas),
                       ('fields', NEW.total_fields, NEW.max_fields)) AS l ("limit", usage, maximum)
         CROSS JOIN (VALUES (80), (100)) AS t (threshold)
         WHERE l.usage > 0 AND l.usage::bigint * 100 >= l.maximum::bigint * t.threshold
         ORDER BY l."limit", t.threshold
        ON CONFLICT (user_id, "limit", threshold) WHERE cleared_at IS NULL DO NOTHING;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER user_schema_quotas_noticed
    AFTER INSERT OR UPDATE ON user_schema_quotas
    FOR EACH ROW EXECUTE FUNCTION user_schema_quotas_noticed_v2();
