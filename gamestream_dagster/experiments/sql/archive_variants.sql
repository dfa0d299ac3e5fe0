SELECT variant, count(*) AS players FROM assigned GROUP BY variant
