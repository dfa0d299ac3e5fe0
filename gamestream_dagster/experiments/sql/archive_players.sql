-- The players of the arms with a number for each place, 0 where nothing was measured.
-- how: by place, what the number is: whether there was an event, how many there were, or the sum.
CREATE OR REPLACE TEMP TABLE players AS
SELECT
  any_value(assigned.variant) AS variant,
  list(
    CASE places.how
      WHEN 'any' THEN (coalesce(measured.events, 0) > 0)::DOUBLE
      WHEN 'count' THEN coalesce(measured.events, 0)::DOUBLE
      ELSE coalesce(measured.total, 0)
    END
    ORDER BY places.place
  ) AS numbers
FROM assigned
CROSS JOIN places
LEFT JOIN measured ON measured.user_id = assigned.user_id AND measured.place = places.place
WHERE assigned.variants = 1 AND assigned.exposed_at <= $last_exposure
GROUP BY assigned.user_id
