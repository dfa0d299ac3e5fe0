WITH paid AS (
  SELECT
    user_id,
    sum(purchases) AS purchases,
    sum(revenue_usd) AS gross_usd,
    sum(refunds_usd) AS refunds_usd
  FROM payers_daily
  GROUP BY user_id
),
cohorts AS (
  SELECT
    installs.date AS cohort_date,
    count(*) AS players,
    count(*) FILTER (WHERE paid.purchases > 0) AS payers,
    coalesce(sum(paid.gross_usd), 0) AS gross_usd,
    coalesce(sum(paid.refunds_usd), 0) AS refunds_usd
  FROM installs
  LEFT JOIN paid ON installs.user_id = paid.user_id
  GROUP BY installs.date
)
SELECT
  $day AS date,
  cohort_date,
  $day - cohort_date AS days_since_install,
  players,
  payers,
  gross_usd,
  refunds_usd,
  CAST(gross_usd - refunds_usd AS DOUBLE) / players AS ltv_usd
FROM cohorts
