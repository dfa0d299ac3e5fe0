-- Record items that a hypothesis leaves out, and those that it counts once more; an item may be in `added` several times.
CREATE OR REPLACE TEMP TABLE removed ("partition" INTEGER, "offset" BIGINT, item INTEGER);
INSERT INTO removed FROM given_removed;
CREATE OR REPLACE TEMP TABLE added ("partition" INTEGER, "offset" BIGINT, item INTEGER);
INSERT INTO added FROM given_added;
