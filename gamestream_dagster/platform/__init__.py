"""The embedded servers of one stack: fetch, start in dependency order, monitor, stop. One module per server."""
