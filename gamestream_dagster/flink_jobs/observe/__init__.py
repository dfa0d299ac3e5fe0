"""Asks Flink, Kafka and Postgres about a job. Never changes anything."""
