-- Of each metric with a value before the experiment: that value's moments, and how it goes with the metric.
SELECT variant, place, sum(numbers[before]) AS total, var_samp(numbers[before]) AS variance,
  covar_samp(numbers[place], numbers[before]) AS covariance
FROM players, (SELECT unnest($places::INTEGER[]) AS place, unnest($befores::INTEGER[]) AS before)
GROUP BY variant, place
