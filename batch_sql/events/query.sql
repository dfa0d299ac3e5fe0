SELECT
  event.event_id,
  event.user_id,
  coalesce(event.user_id, '') AS user_key,
  event.session_id,
  event_types.code AS event_type,
  event.event_type AS event_name,
  event.event_time AS "timestamp",
  $day AS event_date,
  event.properties AS parameters,
  event.platform,
  event.app_version,
  coalesce(event.country, 'unknown') AS country,
  event.region,
  coalesce(device_models.device_category, 'unknown') AS device_category,
  coalesce(device_models.device_tier, 'unknown') AS device_tier
FROM game_events AS event
LEFT JOIN event_types ON event.event_type = event_types.name
LEFT JOIN device_models ON event.device_model = device_models.device_model
