-- As covariances.sql, of the archive's players.
SELECT variant, pairs.place, sum(numbers[pairs.before]) AS total, var_samp(numbers[pairs.before]) AS variance,
  covar_samp(numbers[pairs.place], numbers[pairs.before]) AS covariance
FROM players CROSS JOIN pairs
GROUP BY variant, pairs.place
