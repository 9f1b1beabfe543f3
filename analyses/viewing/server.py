"""The pages served on this machine alone: 127.0.0.1, a token that changes with every start, nothing but reading.

A browser that has the link gets the token as a cookie, which no other site's page can send along (SameSite) and no
script can read (HttpOnly). A request has to name this machine in its Host header, so that no name that somebody points
at 127.0.0.1 opens it (DNS rebinding). Pages may load from this server alone (Content-Security-Policy).
"""

from __future__ import annotations

import hmac
import re
import secrets
import tempfile
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from analyses.charts.export import ChartFiles, export_charts
from analyses.charts.parts import named_rows
from analyses.charts.single_heads import head_distribution
from analyses.design import style_sheet
from analyses.settings.visualization import VisualizationSettings
from analyses.viewing.links import NotThereError
from analyses.viewing.pages import Pages, Reply

HOST = "127.0.0.1"
COOKIE = "headledger"

_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src data: blob:; "
    "connect-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""``unsafe-eval`` is Vega's, which compiles its expressions; no text of a sample is ever one."""


def _file(package: str, name: str) -> str:
    return (resources.files(package) / "templates" / name).read_text(encoding="utf-8")


class Assets:
    """Styles and scripts, each made when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Reply] = {}
        self._lock = threading.Lock()
        self._makers: dict[str, tuple[Callable[[], str], str]] = {
            "/view.css": (_styles, "text/css"),
            "/theme.js": (lambda: _file("analyses.reporting", "theme.js"), "text/javascript"),
            "/view.js": (lambda: _file("analyses.viewing", "view.js"), "text/javascript"),
            "/charts.js": (lambda: _file("analyses.viewing", "charts.js"), "text/javascript"),
            "/bundle.js": (_bundle, "text/javascript"),
        }

    def get(self, path: str) -> Reply | None:
        """Return a file, or None where there is none of that name."""
        if path not in self._makers:
            return None
        with self._lock:
            if path not in self._made:
                maker, kind = self._makers[path]
                self._made[path] = Reply(maker(), kind)
            return self._made[path]


def _styles() -> str:
    return "\n".join([style_sheet(), _file("analyses.reporting", "report.css"), _file("analyses.viewing", "view.css")])


def _bundle() -> str:
    """Return the scripts that draw charts, as the report embeds them; empty where they could not be made."""
    drawn = named_rows(head_distribution(VisualizationSettings(), groups=["all"], title="", is_share=False))
    with tempfile.TemporaryDirectory(prefix="headledger-view-") as folder:
        return export_charts([ChartFiles(drawn, "values", Path(folder) / "values", ())]).bundle


class ViewServer(ThreadingHTTPServer):
    """A server of pages; ``link`` opens it."""

    daemon_threads = True

    def __init__(self, pages: Pages, port: int, *, read_again: Callable[[], Pages]) -> None:
        self.token = secrets.token_urlsafe(24)
        self.pages, self.assets, self.read_again = pages, Assets(), read_again
        super().__init__((HOST, port), _Handler)
        threading.Thread(target=self.assets.get, args=("/bundle.js",), daemon=True).start()

    @property
    def link(self) -> str:
        """The address with the token."""
        return f"http://{HOST}:{self.server_port}/?token={self.token}"


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version: ClassVar[str] = "Headledger"  # pyright: ignore[reportIncompatibleVariableOverride]
    sys_version: ClassVar[str] = ""  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        """Answer a page, a file, or why there is none."""
        parts = urlsplit(self.path)
        asked = dict(parse_qsl(parts.query))
        if (self.headers.get("Host") or "").rpartition(":")[0] not in (HOST, "localhost"):
            return self._refuse("This server answers to its own address alone.")
        if "token" in asked and self._is_token(asked.pop("token")):
            return self._enter(parts.path, asked)
        if not self._is_known():
            return self._refuse("Open the link that python -m analyses.view printed: it has the token.")
        if found := self.server.assets.get(parts.path):
            return self._send(found, HTTPStatus.OK, is_kept=True)
        self._answer(parts.path, asked)

    def _answer(self, path: str, asked: dict[str, str]) -> None:
        if asked.pop("again", None):
            self.server.pages = self.server.read_again()
        pages = self.server.pages
        route = pages.routes.get(path)
        if route is None:
            return self._send(_said("There is no such page."), HTTPStatus.NOT_FOUND)
        try:
            reply = route(pages.runs[pages.run_of(asked)], asked)
        except NotThereError as problem:
            return self._send(_said(str(problem)), HTTPStatus.NOT_FOUND)
        except Exception as error:
            text = f"This view failed: {type(error).__name__}: {error}"
            return self._send(_said(text), HTTPStatus.INTERNAL_SERVER_ERROR)
        self._send(reply, HTTPStatus.OK)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.server.token.encode())

    def _is_known(self) -> bool:
        try:
            cookie = SimpleCookie(self.headers.get("Cookie") or "").get(f"{COOKIE}{self.server.server_port}")
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _enter(self, path: str, asked: dict[str, str]) -> None:
        """Give the token as a cookie, and take it out of the address."""
        # Only a path of this server: two slashes would be another's.
        target = f"/{path.lstrip('/')}"
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", f"{target}?{urlencode(asked)}" if asked else target)
        name = f"{COOKIE}{self.server.server_port}"
        self.send_header("Set-Cookie", f"{name}={self.server.token}; HttpOnly; SameSite=Strict; Path=/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, text: str) -> None:
        self._send(Reply(text, "text/plain"), HTTPStatus.FORBIDDEN)

    def _send(self, reply: Reply, status: HTTPStatus, *, is_kept: bool = False) -> None:
        is_text = isinstance(reply.body, str)
        body = reply.body.encode("utf-8", errors="replace") if isinstance(reply.body, str) else reply.body
        self.send_response(status)
        self.send_header("Content-Type", f"{reply.kind}; charset=utf-8" if is_text else reply.kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "private, max-age=3600" if is_kept else "no-store")
        if reply.file:
            # Names of samples and runs are anybody's: only letters of file names reach a header.
            name = re.sub(r"[^A-Za-z0-9._-]", "_", reply.file)
            self.send_header("Content-Disposition", f'attachment; filename="{name}"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: addresses would put samples' ids on the terminal."""


def _said(text: str) -> Reply:
    return Reply(text, "text/plain")
