"""What is known of a job: observations as values, and the tables of deployments and incidents."""
