WITH summed AS (
  SELECT
    currency,
    count(*) FILTER (WHERE date = $day) AS players,
    coalesce(sum(earned) FILTER (WHERE date = $day), 0) AS earned,
    coalesce(sum(spent) FILTER (WHERE date = $day), 0) AS spent,
    coalesce(sum(earned - spent) FILTER (WHERE date < $day), 0) AS opening_supply,
    sum(earned - spent) AS closing_supply
  FROM wallet_moves
  GROUP BY currency
)
SELECT
  currency,
  $day AS date,
  players,
  earned,
  spent,
  opening_supply,
  closing_supply,
  CASE WHEN opening_supply > 0 THEN CAST(earned - spent AS DOUBLE) / CAST(opening_supply AS DOUBLE) END AS inflation
FROM summed
WHERE players > 0
