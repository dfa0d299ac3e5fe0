-- Each raw position before the cut, and each other one that an output names, with what is to be said of it.
-- fate: by the archive; NULL where the archive has no such record. FOREIGN and the like: see FateKind; OK, OPEN and PAST are no
-- faults.
CREATE TEMP TABLE judged AS
SELECT
  coalesce(expected."partition", found.raw_partition) AS "partition",
  coalesce(expected."offset", found.raw_offset) AS "offset",
  expected.fate,
  expected.may_be_forgotten AND expected.conflict AS conflict,
  CASE
    WHEN expected."partition" IS NULL THEN CASE
      WHEN cut."partition" IS NULL OR found.raw_offset >= cut.ends THEN 'FOREIGN'
      WHEN found.raw_offset >= cut.high THEN 'OPEN'
      WHEN found.raw_offset < cut.begins THEN 'PAST'
      ELSE 'FOREIGN'
    END
    -- its player was erased: what became of it before is not to be known any more
    WHEN expected.reason = 'ERASED' OR expected.emptied THEN 'OK'
    WHEN found.records IS NULL THEN CASE
      WHEN expected.fate = 'copy' THEN 'OK'
      WHEN expected."offset" >= cut.low THEN 'OPEN'
      WHEN expected.kafka_timestamp < coalesce(whole.since, 0) THEN 'PAST'
      ELSE 'MISSING'
    END
    WHEN found.records > 1 THEN 'DOUBLED'
    WHEN expected.place > 1 AND found.dead = 0 THEN CASE
      WHEN (found.late = 1) <> expected.late THEN 'WRONG_PLACE'
      WHEN expected.may_be_forgotten THEN 'COUNTED_AGAIN'
      WHEN expected.conflict THEN 'WRONG_PLACE'
      ELSE 'DOUBLED'
    END
    WHEN expected.fate = 'enriched' AND found.enriched = 0
      OR expected.fate = 'late' AND found.late = 0
      OR expected.fate = 'dead' AND found.dead = 0
      OR expected.fate = 'copy' THEN 'WRONG_PLACE'
    WHEN expected.mark <> found.mark OR expected.content <> found.content THEN 'WRONG_CONTENT'
    ELSE 'OK'
  END AS verdict
FROM (
  SELECT
    *,
    CASE fate WHEN 'dead' THEN CASE WHEN reason IS NULL THEN 'DUP_CONFLICT' ELSE reason END ELSE digest END AS mark,
    -- the archive withholds the bytes of accepted events with an address, and cuts very long ones
    CASE WHEN fate = 'dead' AND octet_length("value") = value_bytes THEN md5("value") END AS content
  FROM (
    SELECT
      archive."partition", archive."offset", archive.kafka_timestamp, archive.reason, archive.digest,
      archive."value", archive.value_bytes, coalesce(archive.late, false) AS late,
      -- refused for another reason; an accepted event with an address is without its bytes too
      archive.reason IS NOT NULL AND archive."value" IS NULL AND archive.value_bytes IS NOT NULL AS emptied,
      coalesce(chains.place, 1) AS place,
      coalesce(chains.may_be_forgotten, false) AS may_be_forgotten,
      coalesce(chains.place > 1 AND chains.known_digest <> archive.digest, false) AS conflict,
      CASE
        WHEN archive.reason IS NOT NULL OR chains.place > 1 AND chains.known_digest <> archive.digest THEN 'dead'
        WHEN chains.place > 1 THEN 'copy'
        WHEN archive.late THEN 'late'
        ELSE 'enriched'
      END AS fate
    FROM archive
    JOIN cut ON archive."partition" = cut."partition" AND archive."offset" >= cut.begins AND archive."offset" < cut.high
    LEFT JOIN chains ON archive."partition" = chains."partition" AND archive."offset" = chains."offset"
    WHERE archive.item = 0
  )
) AS expected
FULL JOIN found ON expected."partition" = found.raw_partition AND expected."offset" = found.raw_offset
LEFT JOIN cut ON coalesce(expected."partition", found.raw_partition) = cut."partition"
LEFT JOIN whole ON expected.fate = whole.fate
