"""The agent's metrics. What is exact is the kernel's own count, whatever became of the records."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

from enforcer import __version__
from enforcer.serving.metrics import Metric, Names, Value

if TYPE_CHECKING:
    from bpf_lsm.fill import Fill
    from enforcer.agent.compiling import Document
    from enforcer.agent.life import Agent
    from enforcer.agent.rules import Rule
    from enforcer.agent.tallies import Pair

_OWN_METRIC: Final = frozenset({"denied", "would_deny", "denials_lost", "events_lost"})
"""Counters of the kernel that have a metric of their own."""
Labels = tuple[str, ...]


class Look:
    """One look at an agent: everything in it is asked for once, and only if it is needed."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    @cached_property
    def counters(self) -> Mapping[str, int]:
        """The gate's."""
        return self.agent.gate.counters()

    @cached_property
    def documents(self) -> tuple[Document, ...]:
        """In force."""
        current = self.agent.policy.current
        return current.documents if current else ()

    @cached_property
    def fired(self) -> list[tuple[Rule, Pair]]:
        """Rules of the image in force, with what they denied and would have."""
        current = self.agent.policy.current
        if current is None:
            return []
        found = self.agent.tallies.rules(len(current.rules))
        return [(current.rules[at], pair) for at, pair in found.items() if at < len(current.rules)]

    @cached_property
    def maps(self) -> Mapping[str, Fill]:
        """Of the gate."""
        return self.agent.gate.map_fill()

    @cached_property
    def rings(self) -> Mapping[str, Fill]:
        """Of the gate."""
        return self.agent.gate.ring_fill()

    def summed(self, which: int, name: Callable[[Rule], Labels]) -> Mapping[Labels, float]:
        """What rules denied (0) or would have (1), by labels."""
        found: Counter[Labels] = Counter()
        for rule, pair in self.fired:
            found[name(rule)] += pair[which]
        return found


def _class(rule: Rule) -> Labels:
    return (rule.name if rule.kind == "builtin" else rule.kind,)


def _policy(rule: Rule) -> Labels:
    kind = {"builtin": "builtin", "protection": "Protection", "sequence": "Sequence"}.get(rule.kind, "Policy")
    return kind, rule.name


def _build(_: Look) -> Value:
    return {(__version__, os.uname().release): 1}


def _standing(look: Look) -> Value:
    return {(name,): number for name, number in look.agent.report.standing().items()}


def metrics() -> tuple[Metric[Look], ...]:
    """All of them."""
    of: Names[Look] = Names("menshen_agent")
    return (
        *of.process(lambda look: look.agent.started),
        of.gauge("build_info", "1", "What runs, and on which kernel.", _build, "version", "kernel"),
        of.gauge(
            "healthy",
            "0 or 1",
            "Lines of `menshen status` that need attention are 0.",
            lambda look: {(name,): ok for name, ok, _ in look.agent.health()},
            "check",
        ),
        of.gauge(
            "guard_armed",
            "0 or 1",
            "The guard keeps the gate from everybody else.",
            lambda look: look.agent.gate.guarded,
        ),
        of.gauge(
            "policy_generation",
            "number",
            "Generation of the policy image in force.",
            lambda look: look.agent.policy.generation,
        ),
        of.gauge(
            "policies",
            "documents",
            "Documents in force.",
            lambda look: Counter((one.kind, one.mode) for one in look.documents),
            "kind",
            "mode",
        ),
        of.gauge(
            "rules",
            "rules",
            "Rules of the image in force, the builtin ones too.",
            lambda look: len(look.agent.policy.current.rules) if look.agent.policy.current else 0,
        ),
        of.gauge(
            "catalogue_digests",
            "digests",
            "Programs and libraries with an identity.",
            lambda look: len(look.agent.credentials.catalogue),
        ),
        of.gauge(
            "processes",
            "processes",
            "Processes that run, by what a policy says of them: `confined`, `unconfined`, `unidentified`.",
            _standing,
            "standing",
        ),
        of.gauge(
            "held",
            "descriptors",
            "What processes hold that is not allowed any more, when it was last looked for: "
            "`file`, `mapping`, `socket`.",
            lambda look: look.agent.held.tally,
            "kind",
            "mode",
        ),
        of.counter(
            "denials",
            "denials",
            "Accesses that were denied, since the gate was loaded.",
            lambda look: look.counters.get("denied", 0),
        ),
        of.counter(
            "would_denials",
            "denials",
            "Accesses that a rule in audit would have denied.",
            lambda look: look.counters.get("would_deny", 0),
        ),
        of.counter(
            "class_denials",
            "denials",
            "The same by class of rule, since the image in force came into force.",
            lambda look: look.summed(0, _class),
            "class",
        ),
        of.counter(
            "class_would_denials",
            "denials",
            "Likewise, of rules in audit.",
            lambda look: look.summed(1, _class),
            "class",
        ),
        of.counter(
            "policy_denials",
            "denials",
            "By document, since the image in force came into force.",
            lambda look: look.summed(0, _policy),
            "kind",
            "policy",
        ),
        of.counter(
            "policy_would_denials",
            "denials",
            "Likewise, of rules in audit.",
            lambda look: look.summed(1, _policy),
            "kind",
            "policy",
        ),
        of.counter(
            "events",
            "events",
            "Events that the agent published, by kind.",
            lambda look: {(kind,): n for kind, n in sorted(look.agent.journal.counts.items())},
            "kind",
        ),
        of.counter(
            "ring_lost_records",
            "records",
            "Records that a ring had no room for. No verdict depends on them.",
            lambda look: {(ring,): look.counters.get(f"{ring}_lost", 0) for ring in look.rings},
            "ring",
        ),
        of.counter(
            "ring_read_records",
            "records",
            "Records that were read.",
            lambda look: {(reader.name,): reader.records for reader in look.agent.readers},
            "ring",
        ),
        of.counter(
            "ring_bad_records",
            "records",
            "Records that were not understood.",
            lambda look: {(reader.name,): reader.undecoded for reader in look.agent.readers},
            "ring",
        ),
        *of.rings(lambda look: look.rings),
        of.gauge(
            "map_entries",
            "entries",
            "Entries of a map of the gate.",
            lambda look: {(name,): fill.used for name, fill in look.maps.items()},
            "map",
        ),
        of.gauge(
            "map_max_entries",
            "entries",
            "Entries that it has room for.",
            lambda look: {(name,): fill.size for name, fill in look.maps.items()},
            "map",
        ),
        of.counter(
            "gate",
            "times",
            "The gate's other counts, by what happened (`enum counter` of `maps.h`, and `passed_over`).",
            lambda look: {(name,): n for name, n in look.counters.items() if name not in _OWN_METRIC},
            "happened",
        ),
        of.counter(
            "log_lost_lines",
            "lines",
            "Lines of denials.jsonl that could not be written.",
            lambda look: look.agent.denials_log.lost,
        ),
    )
