-- By DuckDB, over the events before a cut. An item or a currency that the list does not have is not judged.
SELECT
  purchase_hour, user_id, bought_item, currency, price_micros,
  count(*) AS purchases,
  max(event_1) AS event_1,
  max(event_2) AS event_2,
  max(event_3) AS event_3,
  max(event_4) AS event_4,
  max(kafka_timestamp) AS as_of,
  coalesce((SELECT millis FROM watermark) >= purchase_hour + 3599999, false) AS final
FROM events
WHERE purchase_hour IS NOT NULL
  AND contains(${prices}, '|' || bought_item || '/' || currency || '/')
  AND NOT contains(${prices}, '|' || bought_item || '/' || currency || '/' || price_micros || '|')
GROUP BY purchase_hour, user_id, bought_item, currency, price_micros
