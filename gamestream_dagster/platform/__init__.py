"""The embedded servers of one stack: fetched, started in order of health, watched, stopped. One module a server."""
