-- Topics whose minutes hold less than the newest run that counted them, or the same total in other parts. More is not a
-- fault: a run in progress has written its minutes already.
SELECT totals.*, told.run_id, told.balance
FROM (
    SELECT
        topic, sum(records) AS records, sum(accepted) AS accepted, sum(duplicate) AS duplicate, sum(late) AS late,
        sum(dead_lettered) AS dead_lettered
    FROM {batch}
    GROUP BY topic
) AS totals
JOIN (
    SELECT DISTINCT ON (of_topic.topic) of_topic.topic, of_topic.run_id, of_topic.ledger AS balance
    FROM reconciliation_topics AS of_topic
    JOIN reconciliation_runs AS run ON run.run_id = of_topic.run_id
    WHERE jsonb_typeof(of_topic.ledger) = 'object' AND run.finished_at IS NOT NULL
    ORDER BY of_topic.topic, run.finished_at DESC
) AS told ON told.topic = totals.topic
WHERE totals.records < (told.balance ->> 'records')::bigint
    OR (
        totals.records = (told.balance ->> 'records')::bigint
        AND (totals.accepted, totals.duplicate, totals.late, totals.dead_lettered) IS DISTINCT FROM (
            (told.balance ->> 'accepted')::bigint, (told.balance ->> 'duplicate')::bigint,
            (told.balance ->> 'late')::bigint, (told.balance ->> 'dead_lettered')::bigint
        )
    )
