-- Everybody who was exposed to the experiment: the first exposure decides. An exposure before `first` is none; events of the
-- sandbox count in no metric. Exposures to two variants make a crossover, whichever came first.
CREATE OR REPLACE TEMP TABLE assigned AS
SELECT
  user_id,
  arg_min(variant, (event_time_millis, kafka_timestamp, "partition", "offset")) AS variant,
  min(event_time_millis) AS exposed_at,
  count(DISTINCT variant) AS variants
FROM events
WHERE event_type = 'experiment_exposure'
  AND experiment = $experiment
  AND environment = 'production'
  AND event_time_millis >= $first
GROUP BY user_id
HAVING min(event_time_millis) < $after
