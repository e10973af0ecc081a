"""An audit trail of all requests."""

from application.attempts import ATTEMPTS
from entrypoints.http.middleware.base.exchange import Exchange
from entrypoints.http.middleware.base.stack import Middleware
from entrypoints.http.protocol.addresses import client_address
from entrypoints.telemetry.audit import AuditLog


class AuditMiddleware(Middleware):
    """Records what each request has attempted, once it has ended."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def on_request(self, exchange: Exchange) -> None:
        exchange.attempts = []
        exchange.attempts_token = ATTEMPTS.set(exchange.attempts)

    def on_end(self, exchange: Exchange) -> None:
        ATTEMPTS.reset(exchange.attempts_token)
        self._audit.record(exchange.attempts, exchange.status, client_address(exchange.scope))
