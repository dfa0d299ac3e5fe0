"""Tables that enrich game events: countries of addresses, categories and tiers of devices."""
