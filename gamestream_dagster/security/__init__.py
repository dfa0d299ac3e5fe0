"""Security logs: lines of syslog as tries to log in, detection rules, and what ships the lines to Kafka."""
