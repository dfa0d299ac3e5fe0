-- The lines that may have been late for their window.
SELECT count(late_by) AS events, coalesce(sum(score) FILTER (WHERE late_by IS NOT NULL), 0)::BIGINT AS total FROM ${table}
