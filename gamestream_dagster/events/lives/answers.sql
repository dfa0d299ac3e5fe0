-- The answers, from what the simulated players did (the tables of `tables.py`) and never from events. Days are UTC dates.
-- Players of the sandbox count nowhere. `$from` and `$upto` are the first date and the date after the last.
CREATE MACRO day_of(ms) AS epoch_ms(ms)::DATE;
CREATE MACRO usd(thousandths) AS (thousandths / 1000.0)::DECIMAL(18, 3);
-- the smallest value with at least `per_cent` of the values at or below it
CREATE MACRO percentile(sorted, per_cent) AS sorted[(per_cent * len(sorted) + 99) // 100];

CREATE TABLE counted AS SELECT player, user_id FROM players WHERE NOT sandbox;
CREATE TABLE dates AS SELECT unnest(generate_series($from::DATE, $upto::DATE - 1, INTERVAL 1 DAY))::DATE AS date;

CREATE TABLE moments AS
FROM (
  SELECT player, start_ms AS at_ms FROM sessions
  UNION ALL SELECT player, end_ms FROM sessions
  UNION ALL SELECT player, start_ms FROM attempts
  UNION ALL SELECT player, end_ms FROM attempts
  UNION ALL SELECT player, at_ms FROM purchases
  UNION ALL SELECT player, at_ms FROM refunds
  UNION ALL SELECT player, at_ms FROM wallet_moves
  UNION ALL SELECT player, at_ms FROM acts
  UNION ALL SELECT player, at_ms FROM exposures
) SEMI JOIN counted USING (player);

CREATE TABLE active_days AS SELECT DISTINCT player, day_of(at_ms) AS date FROM moments;
CREATE TABLE installs AS SELECT player, min(at_ms) AS first_ms, day_of(min(at_ms)) AS date FROM moments GROUP BY player;

CREATE TABLE active_users AS
WITH spans AS (
  SELECT
    dates.date,
    count(DISTINCT player) FILTER (active.date = dates.date) AS dau,
    count(DISTINCT player) FILTER (active.date > dates.date - 7) AS wau,
    count(DISTINCT player) AS mau
  FROM dates LEFT JOIN active_days AS active ON active.date BETWEEN dates.date - 29 AND dates.date
  GROUP BY dates.date
), fresh AS (SELECT date, count(*) AS new_players FROM installs GROUP BY date)
SELECT date, dau, wau, mau, coalesce(new_players, 0) AS new_players, dau / nullif(mau, 0) AS stickiness
FROM spans LEFT JOIN fresh USING (date) ORDER BY date;

CREATE TABLE numbered_attempts AS
SELECT *, day_of(start_ms) AS start_date, day_of(end_ms) AS end_date,
  row_number() OVER (PARTITION BY player, level ORDER BY start_ms, attempt) AS nth,
  row_number() OVER (PARTITION BY player, level, day_of(start_ms) ORDER BY start_ms, attempt) AS nth_of_day
FROM attempts SEMI JOIN counted USING (player);

-- Starts count on the day of the start, outcomes on the day of the outcome.
CREATE TABLE levels AS
WITH started AS (
  SELECT start_date AS date, level AS level_id, count(*) AS attempts, count(DISTINCT player) AS starters,
    count(*) FILTER (nth > 1) AS retries, count(*) FILTER (nth_of_day > 1) AS retries_of_day,
    count(*) FILTER (boosted) AS boosted_starts
  FROM numbered_attempts GROUP BY ALL
), ended AS (
  SELECT end_date AS date, level AS level_id, count(*) FILTER (passed) AS completions,
    count(*) FILTER (NOT passed) AS fails, count(*) FILTER (boosted) AS boosted_ends,
    avg(moves) FILTER (passed) AS avg_moves, avg(tenths) FILTER (passed) / 10 AS avg_time_seconds,
    percentile(list(moves ORDER BY moves) FILTER (passed), 50) AS p50_moves,
    percentile(list(moves ORDER BY moves) FILTER (passed), 95) AS p95_moves
  FROM numbered_attempts GROUP BY ALL
), seen AS (
  SELECT date, level_id, count(DISTINCT player) AS unique_players
  FROM (SELECT start_date AS date, level AS level_id, player FROM numbered_attempts
        UNION ALL SELECT end_date, level, player FROM numbered_attempts)
  GROUP BY ALL
)
SELECT date, level_id, coalesce(attempts, 0) AS attempts, coalesce(completions, 0) AS completions,
  coalesce(fails, 0) AS fails, completions / nullif(attempts, 0) AS pass_rate, avg_moves, avg_time_seconds, p50_moves,
  p95_moves, unique_players, coalesce(starters, 0) AS starters, coalesce(boosted_starts, 0) AS boosted_starts,
  coalesce(boosted_ends, 0) AS boosted_ends, coalesce(retries, 0) AS retries,
  coalesce(retries_of_day, 0) AS retries_of_day
FROM seen LEFT JOIN started USING (date, level_id) LEFT JOIN ended USING (date, level_id)
ORDER BY date, level_id;

CREATE TABLE revenue AS
WITH bought AS (
  SELECT day_of(at_ms) AS date, count(*) AS purchases, count(DISTINCT player) AS payers, sum(usd) AS gross
  FROM purchases SEMI JOIN counted USING (player) GROUP BY ALL
), returned AS (
  SELECT day_of(at_ms) AS date, count(*) AS refunds, sum(usd) AS refunded
  FROM refunds SEMI JOIN counted USING (player) GROUP BY ALL
)
SELECT date, coalesce(purchases, 0) AS purchases, coalesce(payers, 0) AS payers, usd(coalesce(gross, 0)) AS gross_usd,
  coalesce(refunds, 0) AS refunds, usd(coalesce(refunded, 0)) AS refunded_usd,
  usd(coalesce(gross, 0) - coalesce(refunded, 0)) AS net_usd
FROM dates LEFT JOIN bought USING (date) LEFT JOIN returned USING (date) ORDER BY date;

-- Day N of a cohort is there once it lies within the simulation; the variants are null where their spans do not.
CREATE TABLE retention AS
WITH spans AS (
  SELECT installs.player, installs.date AS cohort, first_ms, day_n
  FROM installs CROSS JOIN (SELECT unnest([1, 3, 7, 14, 30]) AS day_n)
  WHERE installs.date + day_n < $upto::DATE
), told AS (
  SELECT cohort, day_n, spans.player,
    bool_or(day_of(at_ms) = cohort + day_n) AS on_day,
    bool_or(at_ms >= first_ms + day_n * 86400000::BIGINT AND at_ms < first_ms + (day_n + 1) * 86400000::BIGINT) AS in_24h,
    bool_or(day_of(at_ms) >= cohort + day_n) AS on_or_after
  FROM spans JOIN moments USING (player) GROUP BY ALL
)
SELECT cohort, day_n, count(*) AS players, count(*) FILTER (on_day) AS retained,
  count(*) FILTER (on_day) / count(*) AS rate,
  CASE WHEN cohort + day_n + 1 < $upto::DATE THEN count(*) FILTER (in_24h) END AS retained_24h,
  count(*) FILTER (on_or_after) AS retained_unbounded
FROM told GROUP BY cohort, day_n ORDER BY cohort, day_n;

-- Columns as the third seed names them, and their parts. `events` counts everything that the player's game sent.
CREATE TABLE user_days AS
WITH sent AS (
  SELECT player, session, start_ms AS at_ms FROM sessions WHERE part = 0
  UNION ALL SELECT player, session, end_ms FROM sessions WHERE "left"
  UNION ALL SELECT player, session, start_ms FROM attempts
  UNION ALL SELECT player, session, end_ms FROM attempts
  UNION ALL SELECT player, session, at_ms FROM purchases
  UNION ALL SELECT player, session, at_ms FROM refunds
  UNION ALL SELECT player, session, at_ms FROM wallet_moves
  UNION ALL SELECT player, session, at_ms FROM acts
  UNION ALL SELECT player, session, at_ms FROM exposures
), daily AS (
  SELECT player, day_of(at_ms) AS date, count(*) AS events, count(DISTINCT session) AS sessions FROM sent GROUP BY ALL
), started AS (
  SELECT player, day_of(start_ms) AS date, count(DISTINCT level) AS levels_played FROM attempts GROUP BY ALL
), ended AS (
  SELECT player, day_of(end_ms) AS date, count(*) FILTER (passed) AS levels_completed,
    sum(end_ms - start_ms) / 1000 AS level_seconds FROM attempts GROUP BY ALL
), quit AS (
  SELECT player, day_of(end_ms) AS date, sum(end_ms - begin_ms) / 1000 AS session_seconds
  FROM sessions WHERE "left" GROUP BY ALL
), paid AS (SELECT player, day_of(at_ms) AS date, sum(usd) AS gross FROM purchases GROUP BY ALL)
SELECT user_id, date, events, sessions, coalesce(levels_played, 0) AS levels_played,
  coalesce(levels_completed, 0) AS levels_completed, coalesce(level_seconds, 0) AS level_seconds,
  coalesce(session_seconds, 0) AS session_seconds, usd(coalesce(gross, 0)) AS gross_usd
FROM daily JOIN counted USING (player) LEFT JOIN started USING (player, date) LEFT JOIN ended USING (player, date)
  LEFT JOIN quit USING (player, date) LEFT JOIN paid USING (player, date)
ORDER BY user_id, date;

CREATE TABLE payers AS
WITH bought AS (SELECT player, min(at_ms) AS first_ms, count(*) AS purchases, sum(usd) AS gross FROM purchases GROUP BY ALL),
  returned AS (SELECT player, count(*) AS refunds, sum(usd) AS refunded FROM refunds GROUP BY ALL)
SELECT user_id, installs.date AS cohort, bought.first_ms AS first_purchase_ms,
  (bought.first_ms - installs.first_ms) / 1000 AS seconds_to_first_purchase, purchases, usd(gross) AS gross_usd,
  coalesce(refunds, 0) AS refunds, usd(coalesce(refunded, 0)) AS refunded_usd
FROM bought JOIN counted USING (player) JOIN installs USING (player) LEFT JOIN returned USING (player)
ORDER BY user_id;

-- What a cohort has paid up to and with its day N; N as far as it lies within the simulation.
CREATE TABLE ltv AS
WITH paid AS (
  SELECT player, at_ms, usd AS gross, 0 AS refunded FROM purchases
  UNION ALL SELECT player, at_ms, 0, usd FROM refunds
), sizes AS (SELECT date AS cohort, count(*) AS players FROM installs GROUP BY date)
SELECT cohort, day_n, any_value(players) AS players, usd(coalesce(sum(gross), 0)) AS gross_usd,
  usd(coalesce(sum(gross - refunded), 0)) AS net_usd
FROM sizes CROSS JOIN (SELECT unnest([0, 1, 3, 7, 14, 30]) AS day_n)
  LEFT JOIN (SELECT installs.date AS paid_by, day_of(at_ms) AS paid_on, gross, refunded
             FROM paid JOIN installs USING (player)) ON paid_by = cohort AND paid_on <= cohort + day_n
WHERE cohort + day_n < $upto::DATE
GROUP BY cohort, day_n ORDER BY cohort, day_n;

-- Known only here: who will ever play again. A player is alive from the first session to the last day of its life.
CREATE TABLE churn AS
WITH ends AS (
  SELECT installs.date AS first_day, greatest(leaves_after, installs.date) AS last_day
  FROM installs JOIN players USING (player)
)
SELECT dates.date, count(*) AS installed, count(*) FILTER (last_day >= dates.date) AS alive,
  count(*) FILTER (last_day = dates.date) AS last_day
FROM dates JOIN ends ON first_day <= dates.date
GROUP BY dates.date ORDER BY dates.date;

-- A session belongs to the day on which it started. One `session_id` with a pause of over 30 minutes is two.
CREATE TABLE sessions_daily AS
SELECT day_of(start_ms) AS date, count(*) AS sessions, count(DISTINCT session) AS session_ids,
  count(DISTINCT player) AS players, sum(end_ms - start_ms) / 1000 AS seconds,
  percentile(list(end_ms - start_ms ORDER BY end_ms - start_ms), 50) / 1000 AS p50_seconds
FROM sessions SEMI JOIN counted USING (player) GROUP BY ALL ORDER BY date;

CREATE TABLE economy AS
SELECT day_of(at_ms) AS date, currency_name AS currency,
  coalesce(sum(amount) FILTER (amount > 0), 0)::BIGINT AS earned,
  coalesce(-sum(amount) FILTER (amount < 0), 0)::BIGINT AS spent
FROM wallet_moves SEMI JOIN counted USING (player) JOIN currencies USING (currency)
GROUP BY ALL ORDER BY date, currency;

CREATE TABLE wallets AS
SELECT user_id, currency_name AS currency, coalesce(sum(amount) FILTER (amount > 0), 0)::BIGINT AS earned,
  coalesce(-sum(amount) FILTER (amount < 0), 0)::BIGINT AS spent, sum(amount)::BIGINT AS closing
FROM wallet_moves JOIN counted USING (player) JOIN currencies USING (currency)
GROUP BY ALL ORDER BY user_id, currency;

CREATE TABLE features AS
SELECT day_of(at_ms) AS date, feature_name AS feature, count(*) AS uses, count(DISTINCT player) AS players
FROM acts SEMI JOIN counted USING (player) JOIN feature_names ON feature_names.feature = what
WHERE kind_name(kind) = 'feature_used' GROUP BY ALL ORDER BY date, feature;

CREATE TABLE social AS
SELECT day_of(at_ms) AS date, count(*) FILTER (kind_name(kind) = 'chat_sent') AS messages,
  count(*) FILTER (kind_name(kind) = 'friend_added') AS friends_added,
  count(*) FILTER (kind_name(kind) = 'guild_joined') AS guild_joins,
  count(*) FILTER (kind_name(kind) = 'match_played_together') AS matches,
  count(DISTINCT (least(player, what), greatest(player, what)))
    FILTER (kind_name(kind) = 'match_played_together') AS pairs
FROM acts SEMI JOIN counted USING (player) GROUP BY ALL ORDER BY date;

-- The first exposure counts. A player who saw both variants is excluded, and counted as such.
CREATE TABLE experiment_players AS
SELECT user_id, arg_min(arm_name, at_ms) AS variant, count(DISTINCT arm) > 1 AS in_both, min(at_ms) AS exposed_ms,
  (SELECT count(*) FROM purchases WHERE purchases.player = exposures.player AND purchases.at_ms >= min(exposures.at_ms))
    AS purchases,
  (SELECT usd(coalesce(sum(usd), 0)) FROM purchases
   WHERE purchases.player = exposures.player AND purchases.at_ms >= min(exposures.at_ms)) AS gross_usd
FROM exposures JOIN counted USING (player) JOIN arms USING (arm)
GROUP BY user_id, exposures.player ORDER BY user_id;

CREATE TABLE experiment AS
SELECT variant, count(*) AS exposed, count(*) FILTER (in_both) AS in_both,
  count(*) FILTER (NOT in_both) AS players, count(*) FILTER (NOT in_both AND purchases > 0) AS payers,
  coalesce(sum(gross_usd) FILTER (NOT in_both), 0) AS gross_usd
FROM experiment_players GROUP BY variant ORDER BY variant;
