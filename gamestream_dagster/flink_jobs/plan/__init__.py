"""From target, observation and record to steps. Pure."""
