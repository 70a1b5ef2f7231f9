DROP TRIGGER raw_fragments_deletions ON raw_fragments;
DROP TRIGGER raw_fragments_moves ON raw_fragments;
DROP FUNCTION raw_fragments_moves_v1();
