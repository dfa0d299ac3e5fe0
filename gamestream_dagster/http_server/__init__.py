"""What the HTTP servers share: keys and scopes, limits, metrics, log lines, answers to refused requests, /docs."""
