"""Checks: lock-outs are errors, likely mistakes are warnings, and good policies are quiet."""

from __future__ import annotations

import pytest

from policies.checks import VALIDATORS, Issue, Severity, check
from policies.checks.lockout import essentials
from tests.unit.policies.helpers import compiled, policy, protection
from tests.unit.policies.test_sequence import two


def found(*documents: str, known: set[str] | None = None) -> list[Issue]:
    return check(compiled(*documents), known)


def codes(*documents: str) -> set[str]:
    return {issue.code for issue in found(*documents)}


def files(*rules: str) -> str:
    return policy("files:\n" + "".join(f"  - {rule}\n" for rule in rules))


LOCKOUTS = {
    "sshd configuration from sshd": protection('["/etc/ssh/**"]', "[read]"),
    "shadow from sshd": protection("[/etc/shadow]", "[read]", only="[{identity: os/passwd}]"),
    "all programs": protection('["/usr/**"]', "[execute]"),
    "the agent's policies": protection('["/etc/menshen/**"]', "[write, create]"),
    "units from systemd": protection('["/usr/lib/systemd/**"]', "[read]"),
    "systemd confined to nothing": policy("", subject="{identity: os/systemd}"),
    "sshd confined without its port": policy(
        """
        files:
          - {allow: [read, write, create, delete, rename, attributes], paths: ["/**"]}
        exec:
          - {paths: ["/**"]}
        special:
          allow: [setid, chroot, kill]
          capabilities: [setuid, setgid, sys_chroot, chown, kill, dac_override, net_bind_service]
        """,
        subject="{identity: os/openssh-server}",
    ),
    "the agent without bpf": policy(
        'files:\n  - {allow: [read, write, create, delete, rename], paths: ["/**"]}\n'
        'network:\n  - {allow: listen, unix: "/**"}\n  - {allow: connect, to: {unix: "/**"}}\n'
        "special: {capabilities: [bpf, perfmon, sys_admin, sys_resource]}",
        subject="{identity: menshen/agent}",
    ),
}


@pytest.mark.parametrize("case", LOCKOUTS)
def test_a_lock_out_is_an_error(case: str) -> None:
    errors = [issue for issue in found(LOCKOUTS[case]) if issue.severity is Severity.ERROR]
    assert errors
    assert all(issue.code == "lock-out" and issue.place.line and issue.hint for issue in errors)


@pytest.mark.parametrize("case", LOCKOUTS)
def test_the_same_in_audit_is_no_lock_out(case: str) -> None:
    audited = LOCKOUTS[case].replace("mode: enforce", "mode: audit")
    assert not [issue for issue in found(audited) if issue.severity is Severity.ERROR]


def test_naming_the_victim_in_only_lifts_the_lock_out() -> None:
    (issue,) = found(protection('["/etc/ssh/**"]', "[read]"))
    assert "os/openssh-server could not read /etc/ssh/sshd_config" in issue.message
    assert "nobody could log in" in issue.message
    assert "only" in issue.hint
    assert not found(protection('["/etc/ssh/**"]', "[read]", only="[{identity: os/openssh-server}]"))


def test_confining_the_unidentified_locks_out_whoever_has_no_credential() -> None:
    everybody = {each.identity for each in essentials()}
    deny_all = policy("", subject="{unidentified: true}")
    assert not found(deny_all)
    assert not found(deny_all, known=everybody)
    issues = found(deny_all, known=everybody - {"os/systemd"})
    assert {issue.severity for issue in issues} == {Severity.ERROR}
    assert "os/systemd, which has no credential on this host" in issues[0].message


def test_the_essentials_cover_boot_login_and_agent() -> None:
    assert {each.identity for each in essentials()} == {"os/systemd", "os/openssh-server", "menshen/agent"}
    assert all(len(each.accesses) > 10 for each in essentials())


# what: (documents, the code that is told, a word of its message, a word of its hint)
WARNINGS = {
    "usrmerge": (
        [files('{allow: [read], paths: ["/lib/x/**"]}')],
        "never-matches",
        "/lib is a symbolic",
        '"/usr/lib/x/**"',
    ),
    "usrmerge in a branch": (
        [files('{allow: [read], paths: ["/{bin,opt}/x"]}')],
        "never-matches",
        "/bin",
        "/usr/bin",
    ),
    "old run": ([files("{allow: [read], paths: [/var/run/x]}")], "never-matches", "/var/run", '"/run/x"'),
    "usrmerge of programs": (
        [policy('exec:\n  - {paths: ["/bin/sh"]}\n')],
        "never-matches",
        "/bin",
        "/usr/bin/sh",
    ),
    "usrmerge of objects": ([protection('["/sbin/*"]', "[write]")], "never-matches", "/sbin", "/usr/sbin"),
    "usrmerge of a socket": (
        [policy("network:\n  - {allow: connect, to: {unix: /var/run/a}}\n")],
        "never-matches",
        "/var/run",
        "/run/a",
    ),
    "process by number": (
        [files("{allow: [read], paths: [/proc/77/maps]}")],
        "process-number",
        "by number",
        "self",
    ),
    "write everywhere": (
        [files('{allow: [write], paths: ["/**"]}')],
        "broad",
        "whole file system",
        "folders",
    ),
    "write all of etc": ([files('{allow: [create], paths: ["/etc/**"]}')], "broad", "all of /etc", "folders"),
    "write any": ([files('{allow: [write], paths: ["/*/**"]}')], "broad", "whole file system", "folders"),
    "read everywhere": ([files('{allow: [read], paths: ["/**"]}')], "broad", "whole file system", "folders"),
    "run everything": (
        [policy('exec:\n  - {paths: ["/**"]}\n')],
        "broad",
        "every program",
        "name the programs",
    ),
    "unsigned programs": (
        [policy("exec:\n  - {paths: [/opt/x], unsigned: true}\n")],
        "unsigned",
        "programs without",
        "sign",
    ),
    "unsigned libraries": (
        [files("{allow: [map-exec], paths: [/opt/x], unsigned: true}")],
        "unsigned",
        "libraries",
        "sign",
    ),
    "the whole host": (
        [policy("special: {allow: [module], capabilities: [sys_module]}")],
        "mighty",
        "module",
        "identity of its own",
    ),
    "a mighty capability": (
        [policy("special: {capabilities: [sys_admin]}")],
        "mighty",
        "sys_admin",
        "narrower",
    ),
    "word without capability": (
        [policy("special: {allow: [chroot]}")],
        "no-capability",
        "sys_chroot",
        "capabilities",
    ),
    "low port": (
        [policy("network:\n  - {allow: listen, ports: [80]}\n")],
        "no-capability",
        "below 1024",
        "add it to special.capabilities",
    ),
    "socket that nobody may create": (
        [policy("network:\n  - {allow: listen, unix: /run/x}\n")],
        "no-create",
        "creates it",
        "create, delete",
    ),
    "audited deny": (
        [files("{deny: [read], paths: [/a], mode: audit}")],
        "audited-rule",
        "only reports",
        "quiet",
    ),
    "allow behind a deny": (
        [files("{allow: [read], paths: [/a]}", '{deny: [read, map-exec], paths: ["/*"]}')],
        "idle",
        "never decides",
        "narrow",
    ),
    "allow behind a protection": (
        [files("{allow: [write], paths: [/a]}"), protection("[/a]", "[write]")],
        "idle",
        "protection of guard",
        "narrow",
    ),
    "allow behind an allow": (
        [files('{allow: [read], paths: ["/a/**"]}', "{allow: [read], paths: [/a/b]}")],
        "idle",
        "policy.yaml:9",
        "narrow",
    ),
    "programs as both": (
        [policy('exec:\n  - {paths: ["/p/*"], as: self}\n  - {paths: ["/p/a", "/q"]}\n')],
        "exec-as",
        "run as self",
        "first",
    ),
    "twice in a rule": ([files("{allow: [read], paths: [/a, /a]}")], "repeated", "in this rule", "keep one"),
    "twice in a policy": (
        [files("{allow: [read, write], paths: [/a]}", "{allow: [read, ioctl], paths: [/a]}")],
        "repeated",
        "policy.yaml:9",
        "keep one",
    ),
    "different values of one": (
        [two(", count: 3, distinct: port, where: {port: 22}")],
        "impossible-step",
        "different values of port",
        "remove it from where",
    ),
    "a step as long as all": ([two(", within: 10m")], "idle-limit", "whole sequence, 10m", "shorter"),
    "captured for nothing": ([two(", capture: {f: path}")], "idle-limit", 'captures "f"', "$f"),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_a_likely_mistake_is_a_warning(case: str) -> None:
    documents, code, message, hint = WARNINGS[case]
    issues = [issue for issue in found(*documents) if issue.code == code]
    assert issues, [issue.render() for issue in found(*documents)]
    assert issues[0].severity is Severity.WARNING
    assert message in issues[0].message
    assert hint in issues[0].hint
    assert issues[0].place.line
    assert f"[{code}]" in issues[0].render()


def test_a_good_policy_is_quiet() -> None:
    good = policy(
        """
        base: true
        files:
          - {allow: [read], paths: ["/etc/app/**", "/usr/lib/**", "/proc/self/status", "/proc/1/stat"]}
          - {allow: [read, append, create], paths: ["/var/log/app/*.log"]}
          - {allow: [create, delete], paths: ["/run/app/**"]}
          - {deny: [read], paths: ["/etc/app/old/**"]}
        exec:
          - {paths: ["/usr/bin/openssl"], as: self}
          - {paths: ["/usr/bin/gpg"]}
        network:
          - {allow: listen, ports: [80, 8080]}
          - {allow: listen, unix: "/run/app/api.sock"}
          - {allow: connect, to: {cidr: 10.0.0.0/8, ports: [443]}}
        special:
          allow: [netlink, {kill: [test/worker]}]
          capabilities: [net_bind_service]
        """
    )
    assert not found(good, protection('["/etc/app/**"]', "[write, create, delete, rename]"))


def test_waivers_count_even_where_an_earlier_rule_allows() -> None:
    body = 'exec:\n  - {paths: ["/p/*"]}\n  - {paths: [/p/a], unsigned: true}\n'
    assert "idle" not in codes(policy(body))


def test_errors_come_before_warnings() -> None:
    issues = found(files('{allow: [write], paths: ["/**"]}'), protection('["/etc/ssh/**"]', "[read]"))
    assert [issue.severity for issue in issues] == sorted(
        (issue.severity for issue in issues), key=lambda severity: severity.value
    )


def test_every_code_is_documented_by_a_validator() -> None:
    told = {code for documents, code, *_ in WARNINGS.values()} | {"lock-out"}
    assert told == {code for validator in VALIDATORS for code in validator.codes}
    assert all(validator.meaning for validator in VALIDATORS)
