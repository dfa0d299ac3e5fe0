-- What one proof is about. cut: begins is the archive's first offset, low what intake had surely read, high the cut, ends the
-- topic's end after the outputs were read. outputs: a row for each record that intake wrote; era counts the times that the
-- job was told to read everything again. whole: the Kafka time from which on the output of a fate keeps everything.
CREATE TEMP TABLE cut ("partition" INTEGER PRIMARY KEY, begins BIGINT, low BIGINT, high BIGINT, ends BIGINT);
CREATE TEMP TABLE outputs (
  fate VARCHAR, raw_partition BIGINT, raw_offset BIGINT, mark VARCHAR, content VARCHAR,
  out_partition INTEGER, out_offset BIGINT, written_at BIGINT, era INTEGER
);
CREATE TEMP TABLE whole (fate VARCHAR PRIMARY KEY, since BIGINT);
