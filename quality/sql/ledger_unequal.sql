-- Minutes whose four outcomes are not what entered, or whose reasons are not what was refused.
SELECT * FROM {batch}
WHERE records <> accepted + duplicate + late + dead_lettered
    OR dead_lettered <> refused_by_reason
