-- The events of a day: accepted, each id once for ever, of production, by their own time in UTC.
CREATE OR REPLACE TEMP VIEW game_events AS
SELECT
  archive.event_id,
  archive.user_id,
  archive.session_id,
  archive.event_type,
  make_timestamp_ms(archive.event_time_millis) AS event_time,
  archive.properties,
  archive.platform,
  archive.app_version,
  archive.country,
  archive.device_model,
  archive.region,
  archive.experiment,
  archive.variant,
  archive.late,
  archive.chapter,
  archive."partition",
  archive."offset",
  archive.item
FROM archive
ANTI JOIN copies
  ON archive.chapter = copies.chapter
  AND archive."partition" = copies."partition"
  AND archive."offset" = copies."offset"
  AND archive.item = copies.item
WHERE
  archive.reason IS NULL
  AND archive.environment = 'production'
  AND archive.event_time_millis >= ${from}
  AND archive.event_time_millis < ${until}
