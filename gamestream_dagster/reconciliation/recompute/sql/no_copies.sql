-- The relation `copies` before any copy was looked for (see copies.sql).
CREATE TEMP TABLE copies (
  "partition" INTEGER,
  "offset" BIGINT,
  item INTEGER,
  since_previous BIGINT,
  conflict BOOLEAN,
  first_partition INTEGER,
  first_offset BIGINT,
  first_item INTEGER
)
