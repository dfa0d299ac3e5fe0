"""The event archive: score events from Kafka to Parquet, by offset range, each range once. No Flink, no Dagster."""
