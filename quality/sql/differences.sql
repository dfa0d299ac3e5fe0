-- The last finished reconciliation, once for each of its differences; one row without a difference when it found none.
SELECT
    run.run_id, run.mode, run.verdict, run.reason, run.started_at, run.finished_at,
    run.rows_compared, run.rows_equal, run.rows_different, run.rows_unexplained, run.boards,
    found.difference_id, found.board, found.sink, found.rnk, found.entity, found.kind, found.column_name, found.cause,
    found.accepted, found.action, found.explanation,
    (
        SELECT CASE
            WHEN bool_and(jsonb_typeof(of_topic.ledger) = 'object') THEN sum((of_topic.ledger ->> 'accepted')::bigint)
        END
        FROM reconciliation_topics AS of_topic
        WHERE of_topic.run_id = run.run_id
    ) AS accepted_events -- of all its topics; null where one of them was not counted
FROM (SELECT * FROM reconciliation_runs WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1) AS run
LEFT JOIN differences AS found ON found.run_id = run.run_id
