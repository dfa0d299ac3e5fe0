"""Observes a job in Flink, Kafka and Postgres. Never changes anything."""
