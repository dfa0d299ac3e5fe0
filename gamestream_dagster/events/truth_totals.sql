-- Totals of a simulation, from its records (the view `truth`). A record with a reason does not count; a late one of the
-- score topic counts like any other. Of an event that was sent more than once the first record by position counts.
CREATE VIEW counted AS
FROM truth
WHERE kind <> 'bad' AND reason IS NULL AND event_type = 'score'
QUALIFY event_id IS NULL
  OR row_number() OVER (PARTITION BY user_id, event_id ORDER BY "partition", "offset") = 1;

CREATE VIEW players AS
SELECT user_id, max(team_name) AS team_name, sum(score)::BIGINT AS total_score, count(*) AS events
FROM counted
GROUP BY user_id ORDER BY total_score DESC, user_id;

CREATE VIEW teams AS
SELECT team_id, max(team_name) AS team_name, sum(score)::BIGINT AS total_score, count(*) AS events
FROM counted
GROUP BY team_id ORDER BY total_score DESC, team_id;

CREATE VIEW counts AS
SELECT kind, reason, count(*) AS records FROM truth GROUP BY kind, reason ORDER BY kind, reason;
