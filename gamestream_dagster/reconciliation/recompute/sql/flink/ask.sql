-- One of several boards that are asked for by one query: its place, and its columns among those of all.
SELECT ${place} AS ask, ${columns}
FROM (
${query}
)
