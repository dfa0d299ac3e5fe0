"""The alert drill: plant what each alert is about, see it fire, reach an inbox and resolve, and run its runbook."""
