DROP TRIGGER quota_requests_moves ON quota_requests;
DROP FUNCTION quota_requests_moves_v1();
