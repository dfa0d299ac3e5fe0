"""gamestream: live game leaderboards from Kafka and Flink SQL, orchestrated and proven by Dagster."""
