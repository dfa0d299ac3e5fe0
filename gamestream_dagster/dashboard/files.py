"""Reports and Data Docs over HTTP, for links in Dagster and the command line: browsers do not follow file links.

Read-only, restricted to the reports folder; pages there can neither run nor load anything from elsewhere.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gamestream_dagster.settings import REPORTS_PATH

_TYPES = frozenset({".html", ".css"})
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# A foreign page must not read the reports through a name that resolves to this machine.
_HOSTS = ["127.0.0.1", "localhost"]


class ReportFiles(StaticFiles):
    """The pages and style sheets of a folder, without hidden folders such as half-built pages."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file's content, or 404; 405 for anything but GET and HEAD."""
        asked = PurePosixPath(path)
        if asked.suffix not in _TYPES or any(part.startswith(".") for part in asked.parts):
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def report_files(folder: Path) -> Mount:
    """The route under which the files of `folder` are served; the folder need not exist yet."""
    files = ReportFiles(directory=folder, check_dir=False, follow_symlink=False)
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS, www_redirect=False)
    return Mount(f"/{REPORTS_PATH}", app=files, middleware=[hosts])
