-- Records between the cuts, accepted or not, by position: offsets that hold no record do not count.
SELECT count(*) AS records
FROM archive
JOIN cut ON archive."partition" = cut."partition"
WHERE archive."offset" >= cut.low_offset AND archive."offset" < cut.high_offset AND archive.item = 0
