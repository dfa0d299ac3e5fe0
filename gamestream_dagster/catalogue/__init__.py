"""What is described once, in YAML beside the SQL: boards and topics. No Dagster, no I/O but reading the files."""
