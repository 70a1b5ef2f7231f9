DROP TRIGGER erasures_guarded ON erasures;
DROP FUNCTION erasures_guarded_v1();
DROP FUNCTION erasure_tells_v1(audit_events);
DROP FUNCTION erasure_uuid_v1(text);
DROP FUNCTION erasure_clears_v1(jsonb, jsonb, text[]);
DROP FUNCTION erasure_reaches_v1(bigint, uuid);
DROP FUNCTION erasure_marked_v1();
