"""Where things are on a host. Everything hangs from one root, so that a test has a host of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GROUP = "menshen"
"""Members may read through the API."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files and folders of one host."""

    root: Path = Path("/")

    @property
    def settings(self) -> Path:
        return self.root / "etc/menshen/agent.yaml"

    @property
    def trust(self) -> Path:
        return self.root / "etc/menshen/trust"

    @property
    def policies(self) -> Path:
        """The policies in force: the one place that they are read from and written to."""
        return self.root / "etc/menshen/policies"

    @property
    def certificates(self) -> Path:
        """Certificates of sequences that block, and what was taken back."""
        return self.root / "etc/menshen/certificates"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/menshen"

    @property
    def catalogue(self) -> Path:
        return self.state / "catalogue"

    @property
    def last_good(self) -> Path:
        return self.state / "last-good.image"

    @property
    def pending(self) -> Path:
        """A set of policies that was accepted and is on its way into `policies`."""
        return self.state / "pending"

    @property
    def event_counter(self) -> Path:
        return self.state / "event-counter"

    @property
    def alert_counter(self) -> Path:
        return self.state / "alert-counter"

    @property
    def watch_settings(self) -> Path:
        return self.root / "etc/menshen/watch.yaml"

    @property
    def observed(self) -> Path:
        """The store of events."""
        return self.state / "events"

    @property
    def run(self) -> Path:
        return self.root / "run/menshen"

    @property
    def beginning(self) -> Path:
        """How late enforcement began after the kernel's start."""
        return self.run / "beginning.json"

    @property
    def socket(self) -> Path:
        return self.run / "api.sock"

    @property
    def inner_socket(self) -> Path:
        """Where the gRPC server itself listens: behind the gatekeeper of serving/peers.py."""
        return self.run / "private/grpc.sock"

    @property
    def watch_socket(self) -> Path:
        return self.run / "watch.sock"

    @property
    def metrics_socket(self) -> Path:
        """Where the agent answers scrapes."""
        return self.run / "metrics.sock"

    @property
    def watch_metrics_socket(self) -> Path:
        """Where the watch does."""
        return self.run / "watch-metrics.sock"

    @property
    def watch_inner_socket(self) -> Path:
        """The same for the watch's server."""
        return self.run / "private/watch.sock"

    @property
    def log(self) -> Path:
        return self.root / "var/log/menshen"

    @property
    def denials_log(self) -> Path:
        return self.log / "denials.jsonl"

    @property
    def alerts_log(self) -> Path:
        return self.log / "alerts.jsonl"

    @property
    def audit_log(self) -> Path:
        """Who changed what: applies, reloads and `off`; every line is on disk before the change."""
        return self.log / "audit.jsonl"
