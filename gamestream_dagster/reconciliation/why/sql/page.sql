-- Some lines of a table of lines.
FROM ${table} WHERE place BETWEEN $first AND $last ORDER BY place
