INSERT INTO ${table} SELECT ${columns} FROM ${view};
