"""Score events: their catalogue, the acceptance rule, the simulator, the replay and the producer. No Dagster."""
