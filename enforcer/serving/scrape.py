"""One scrape over HTTP. A module of its own, since http.server takes memory: the first one loads it."""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

PATHS = ("/", "/metrics")


class Scrape(BaseHTTPRequestHandler):
    """GET /metrics."""

    server_version = "menshen"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with everything that is measured."""
        server: Any = self.server
        if self.path.partition("?")[0] not in PATHS:
            self.send_error(HTTPStatus.NOT_FOUND, "metrics are at /metrics")
            return
        try:
            body, kind = server.exported.render(self.headers.get("Accept", ""))
        except Exception:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "the service's log says why")
            raise
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not logged."""
