-- Records of the original topic that the copy lacks, and records that the copy has too often: two records are one where all
-- that the archive keeps of them is the same, but for position and key. span: partition, low_offset (up to it the copy is
-- complete), high_offset (nothing after it was copied). place: the first such record, in the original or else in the copy.
-- Records of erased players, which have a length and no value, are left out: a copy made anew has none of them.
WITH originals AS (
  SELECT
    hash(${original.kept}) AS digest,
    count(*) FILTER (WHERE original."offset" < span.low_offset) AS surely,
    count(*) AS perhaps,
    min(struct_pack("partition" := original."partition", "offset" := original."offset")) AS place
  FROM original
  JOIN span ON original."partition" = span."partition"
  WHERE original."offset" < span.high_offset AND (original."value" IS NOT NULL OR original.value_bytes IS NULL)
  GROUP BY digest
), copied AS (
  SELECT
    hash(${archive.kept}) AS digest,
    count(*) AS records,
    min(struct_pack("partition" := archive."partition", "offset" := archive."offset")) AS place
  FROM archive
  JOIN cut ON archive."partition" = cut."partition"
  WHERE archive."offset" < cut.high_offset AND (archive."value" IS NOT NULL OR archive.value_bytes IS NULL)
  GROUP BY digest
), unlike AS (
  SELECT
    coalesce(records, 0) < coalesce(surely, 0) AS lacking,
    CASE WHEN coalesce(records, 0) < coalesce(surely, 0) THEN originals.place ELSE copied.place END AS place,
    greatest(coalesce(surely, 0) - coalesce(records, 0), coalesce(records, 0) - coalesce(perhaps, 0)) AS records
  FROM originals
  FULL JOIN copied USING (digest)
  WHERE coalesce(records, 0) < coalesce(surely, 0) OR coalesce(records, 0) > coalesce(perhaps, 0)
)
SELECT lacking, min(place)."partition" AS "partition", min(place)."offset" AS "offset", sum(records)::BIGINT AS records
FROM unlike
GROUP BY lacking
ORDER BY lacking DESC
