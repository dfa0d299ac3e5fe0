-- The bracket by partition. given_cut: partition, low_offset, high_offset (next offsets).
CREATE OR REPLACE TEMP TABLE cut ("partition" INTEGER PRIMARY KEY, low_offset BIGINT, high_offset BIGINT);
INSERT INTO cut FROM given_cut;
