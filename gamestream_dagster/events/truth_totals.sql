-- What a simulation adds up to, from its records (the view `truth`). A late and a repeated record counts like any other.
CREATE VIEW players AS
SELECT user_id, max(team_name) AS team_name, sum(score)::BIGINT AS total_score, count(*) AS events
FROM truth WHERE kind <> 'bad'
GROUP BY user_id ORDER BY total_score DESC, user_id;

CREATE VIEW teams AS
SELECT team_id, max(team_name) AS team_name, sum(score)::BIGINT AS total_score, count(*) AS events
FROM truth WHERE kind <> 'bad'
GROUP BY team_id ORDER BY total_score DESC, team_id;

CREATE VIEW counts AS
SELECT kind, reason, count(*) AS records FROM truth GROUP BY kind, reason ORDER BY kind, reason;
