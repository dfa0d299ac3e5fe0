-- Rows of a run (the view `staged`) that are not archived: copies, and other content under an id that is taken. What the
-- history has (the view `archived`) comes first, then the order of the file. One event has one player and one id.
CREATE TABLE taken AS
SELECT event_id, coalesce(user_id, '') AS user_id
FROM staged GROUP BY ALL HAVING count(*) > 1;

CREATE TABLE dropped AS
WITH known AS (
  SELECT staged.place, staged.partition, staged.digest <> archived.digest AS conflict
  FROM staged JOIN archived
    ON staged.event_id = archived.event_id AND coalesce(staged.user_id, '') = coalesce(archived.user_id, '')
), several AS (
  SELECT staged.place, staged.partition, staged.digest <> first_value(staged.digest) OVER same AS conflict
  FROM staged JOIN taken ON staged.event_id = taken.event_id AND coalesce(staged.user_id, '') = taken.user_id
  WINDOW same AS (PARTITION BY taken.event_id, taken.user_id ORDER BY staged.place)
  QUALIFY row_number() OVER same > 1
)
FROM known
UNION ALL
SELECT several.* FROM several ANTI JOIN known USING (place);
