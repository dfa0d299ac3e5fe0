-- Minutes whose four outcomes do not sum to the records, or whose reasons do not sum to the refused ones.
SELECT * FROM {batch}
WHERE records <> accepted + duplicate + late + dead_lettered
    OR dead_lettered <> refused_by_reason
