-- Sums of each metric over the players of each arm.
SELECT variant, place, count(*) AS players, sum(number) AS total, var_samp(number) AS variance,
  CASE WHEN count(*) > 2 AND var_samp(number) > 0 THEN skewness(number) END AS skewness
FROM (SELECT variant, generate_subscripts(numbers, 1) AS place, unnest(numbers) AS number FROM players)
GROUP BY variant, place
