-- The first records of the outputs that are about a run of positions.
SELECT fate, out_partition, out_offset
FROM outputs
WHERE raw_partition = $part AND raw_offset BETWEEN $first AND $last
ORDER BY raw_offset, fate, out_partition, out_offset
LIMIT $most
