"""How uvicorn serves an application until SIGTERM."""

from __future__ import annotations

from typing import Any, Final

import uvicorn

GRACE_SECONDS: Final = 14
"""After SIGTERM, for the requests that are under way."""
MOST_CONNECTIONS: Final = 500
KEY_QUERY_SECONDS: Final = 5

LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"}},
    "root": {"level": "WARNING", "handlers": ["out"]},
    "loggers": {
        "gamestream": {"level": "INFO"},
        "gamestream_dagster": {"level": "INFO"},
        "uvicorn": {"level": "INFO"},
    },
}


def run(app: Any, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way."""
    uvicorn.Server(configuration(app, host, port)).run()


def configuration(app: Any, host: str, port: int) -> uvicorn.Config:
    """How uvicorn serves the application.

    h11 bounds a request's head at 64 KiB, httptools does not. uvicorn's own belief in proxies is off: it trusts
    127.0.0.1 by default.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_SECONDS,
        limit_concurrency=MOST_CONNECTIONS,
        log_config=LOGGING,
    )
