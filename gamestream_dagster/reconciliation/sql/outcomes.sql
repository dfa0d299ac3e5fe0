-- What became of every record before the cut, over all partitions.
SELECT reason, remark, count(*) AS records
FROM archive
JOIN cut ON archive."partition" = cut."partition"
WHERE archive."offset" < cut.high_offset
GROUP BY reason, remark
ORDER BY reason, remark
