"""The event archive: score events from Kafka as Parquet, by offset range, each range once. No Flink, no Dagster."""
