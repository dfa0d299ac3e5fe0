-- Records between the cuts of which Flink's reader makes a row, by position.
SELECT count(*) AS records
FROM records
JOIN cut ON records."partition" = cut."partition"
WHERE records."offset" >= cut.low_offset AND records."offset" < cut.high_offset AND records.item = 0 AND records.yielded
