-- The ledger of the archive's newest chapter: one row for each minute of each partition, with the sum of
-- refused records over its reasons.
SELECT
    counted.topic, counted.partition_id, counted.minute,
    counted.records, counted.accepted, counted.duplicate, counted.late, counted.dead_lettered,
    counted.first_offset, counted.last_offset,
    (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(counted.reasons)) AS refused_by_reason
FROM ledger AS counted
WHERE counted.chapter = (SELECT max(newest.chapter) FROM ledger AS newest WHERE newest.topic = counted.topic)
