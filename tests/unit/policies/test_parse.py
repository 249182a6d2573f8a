"""Documents: every mistake has a place and says what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies import PolicyErrors, load_paths, parse_text
from policies.errors import Place, PolicyError, render
from tests.unit.policies.helpers import faults, policy, protection, together


def rule(section: str, text: str) -> str:
    return policy(f"{section}:\n  - {text}\n")


HEAD = "apiVersion: menshen/v1\nkind: Policy\nmetadata: {name: a}\n"

# case: (text, what the caret stands under, message, hint)
MISTAKES = {
    "unknown field": (
        rule("files", "{allow: [read], path: [/a]}"),
        "path:",
        'unknown field "path"',
        "did you mean paths?",
    ),
    "unknown field of the spec": (policy("file: []"), "file:", 'unknown field "file"', "did you mean files?"),
    "missing field": (rule("files", "{allow: [read]}"), "{allow", 'no "paths"', "add paths:"),
    "missing spec": (HEAD, "apiVersion", 'no "spec"', ""),
    "missing subject": (HEAD + "spec: {}\n", "{}", 'no "subject"', ""),
    "wrong version": (
        HEAD.replace("/v1", "/v9") + "spec: {subject: {unidentified: true}}\n",
        "menshen/v9",
        "apiVersion must be menshen/v1",
        "write apiVersion: menshen/v1",
    ),
    "unknown kind": ("kind: polcy\n", "polcy", 'unknown kind "polcy"', "did you mean Policy?"),
    "kind in lower case": ("kind: policy\n", "policy", 'unknown kind "policy"', "write Policy"),
    "kind of a later version": ("kind: Persona\n", "Persona", "not supported yet", "Policy"),
    "no kind": ("metadata: {name: a}\n", "metadata", 'no "kind"', "Policy"),
    "not a mapping": ("- a\n", "- a", "must be a mapping", "apiVersion"),
    "text for a list": (
        rule("files", "{allow: read, paths: [/a]}"),
        "read,",
        "must be a list",
        "write allow: [read]",
    ),
    "list for text": (
        policy("mode: [audit]", mode="audit").replace("  mode: audit\n", "", 1),
        "[audit]",
        "must be text",
        "",
    ),
    "truth value in quotes": (policy('base: "true"'), '"true"', "must be true or false", "without quotes"),
    "empty list": (rule("files", "{allow: [], paths: [/a]}"), "[]", "empty list", "[read]"),
    "nothing": (policy("files:"), "", "must be a list, and it is empty", ""),
    "unknown right": (rule("files", "{allow: [reed], paths: [/a]}"), "reed", '"reed"', "did you mean read?"),
    "right by another name": (
        rule("files", "{allow: [chmod], paths: [/a]}"),
        "chmod",
        '"chmod"',
        "attributes",
    ),
    "right of another section": (
        rule("files", "{allow: [connect], paths: [/a]}"),
        "connect",
        '"connect"',
        "network",
    ),
    "mount under files": (rule("files", "{deny: [mount], paths: [/a]}"), "mount", '"mount"', "Protection"),
    "execute under files": (
        rule("files", "{allow: [execute], paths: [/a]}"),
        "allow",
        "not granted under files",
        "under exec",
    ),
    "allow and deny": (
        rule("files", "{allow: [read], deny: [write], paths: [/a]}"),
        "deny",
        "either",
        "two rules",
    ),
    "neither": (rule("files", "{paths: [/a]}"), "{paths", 'no "allow" or "deny"', "add allow"),
    "mode of an allow": (
        rule("files", "{allow: [read], paths: [/a], mode: audit}"),
        "mode: audit}",
        "an allow has no mode",
        "policy's mode",
    ),
    "unknown mode": (policy("", mode="block"), "block", '"block"', "write enforce"),
    "unsigned without map-exec": (
        rule("files", "{allow: [read], paths: [/a], unsigned: true}"),
        "unsigned",
        "map-exec",
        "exec with unsigned",
    ),
    "relative path": (
        rule("files", "{allow: [read], paths: [etc/a]}"),
        "etc/a",
        "not absolute",
        "write /etc/a",
    ),
    "double slash": (rule("files", '{allow: [read], paths: ["/a//b"]}'), "//b", "empty component", "one /"),
    "slash at the end": (rule("files", "{allow: [read], paths: [/a/]}"), "/]", "slash at its end", "/a/**"),
    "dot": (rule("files", "{allow: [read], paths: [/a/./b]}"), "/./b", '"."', "leads to"),
    "dot dot": (rule("files", "{allow: [read], paths: [/a/../b]}"), "/../b", '".."', "leads to"),
    "abstract name under files": (
        rule("files", '{allow: [read], paths: ["@a"]}'),
        '"@a"',
        "abstract socket",
        "unix:",
    ),
    "deny in exec": (rule("exec", "{deny: [/a], paths: [/a]}"), "deny", '"deny" cannot stand', "under files"),
    "unknown as": (rule("exec", "{paths: [/a], as: inherit}"), "inherit", '"inherit"', "write self"),
    "peer outside to": (
        rule("network", "{allow: connect, to: {cidr: 1.2.3.4}, ports: [1]}"),
        "ports",
        'under "to"',
        "to: {ports",
    ),
    "no peer": (rule("network", "{allow: connect}"), "{allow", 'no "to"', "add to"),
    "to of listen": (
        rule("network", "{allow: listen, to: {ports: [1]}}"),
        "to:",
        "does not belong",
        "beside listen",
    ),
    "listen on nothing": (rule("network", "{allow: listen}"), "{allow", "does not say on what", "ports"),
    "empty peer": (rule("network", "{allow: connect, to: {}}"), "{}", "is empty", "cidr"),
    "service": (
        rule("network", "{allow: connect, to: {service: a/b}}"),
        "service",
        "cannot stand in to",
        "not supported yet",
    ),
    "identity of a peer": (
        rule("network", "{allow: connect, to: {identity: a/b}}"),
        "identity: a/b",
        "cannot stand in to",
        "not enforceable yet",
    ),
    "unix with ports": (
        rule("network", "{allow: listen, unix: /a, ports: [1]}"),
        "ports",
        "does not go with unix",
        "two rules",
    ),
    "host bits": (
        rule("network", "{allow: connect, to: {cidr: 10.1.2.3/8}}"),
        "10.1.2.3/8",
        "behind its prefix",
        "write 10.0.0.0/8",
    ),
    "no address": (
        rule("network", "{allow: connect, to: {cidr: example.org}}"),
        "example.org",
        "not an address",
        "10.20.0.0/16",
    ),
    "mapped network": (
        rule("network", '{allow: connect, to: {cidr: "::ffff:10.0.0.0/104"}}'),
        '"::ffff',
        "count as v4",
        "10.0.0.0/8",
    ),
    "port above all": (rule("network", "{allow: listen, ports: [65536]}"), "65536", "from 0 to 65535", ""),
    "port of words": (rule("network", "{allow: listen, ports: [http]}"), "http", '"http"', "443"),
    "empty range": (rule("network", '{allow: listen, ports: ["90-80"]}'), '"90-80"', "empty", "80-90"),
    "ports of icmp": (
        rule("network", "{allow: connect, to: {protocol: icmp, ports: [1]}}"),
        "ports",
        "no ports",
        "leave",
    ),
    "unknown protocol": (
        rule("network", "{allow: listen, protocol: mptcp}"),
        "mptcp",
        '"mptcp"',
        "write tcp",
    ),
    "unknown special": (policy("special: {allow: [bfp]}"), "bfp", '"bfp"', "did you mean bpf?"),
    "special by another name": (policy("special: {allow: [time]}"), "time", '"time"', "write clock"),
    "target of a word that has none": (
        policy("special: {allow: [{mount: [a/b]}]}"),
        "mount",
        'unknown field "mount"',
        "kill",
    ),
    "unknown capability": (
        policy("special: {capabilities: [net_bind_servic]}"),
        "net_bind",
        '"net_bind_servic"',
        "net_bind_service",
    ),
    "capability in capitals": (
        policy("special: {capabilities: [CAP_SYS_ADMIN]}"),
        "CAP_",
        '"CAP_SYS_ADMIN"',
        "write sys_admin",
    ),
    "persona": (
        policy("", subject="{persona: dev/a}"),
        "persona",
        "cannot stand in subject",
        "not supported yet",
    ),
    "two subjects": (
        policy("", subject="{identity: a/b, unidentified: true}"),
        "{identity",
        "more than one field",
        "keep one",
    ),
    "not unidentified": (
        policy("", subject="{unidentified: false}"),
        "false}",
        "must be true",
        "unidentified: true",
    ),
    "bad identity": (policy("", subject="{identity: Payments}"), "Payments", '"Payments"', "lower-case"),
    "reserved identity": (policy("", subject="{identity: os}"), "os}", "reserved", "payments/api"),
    "bad name": (policy("", name="Ä"), "Ä", '"Ä"', "lower-case"),
    "unidentified in only": (
        protection("[/a]", "[read]", only="[{unidentified: true}]"),
        "unidentified",
        "cannot stand",
        "would pass",
    ),
    "persona in only": (
        protection("[/a]", "[read]", only="[{persona: a/b}]"),
        "persona",
        "cannot stand",
        "not supported",
    ),
    "no only": (
        protection("[/a]", "[read]").replace("  only: []\n", ""),
        "objects",
        'no "only"',
        "only: [{identity",
    ),
    "unknown operation": (protection("[/a]", "[chown]"), "chown", '"chown"', "attributes"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_its_remedy(case: str) -> None:
    text, under, message, hint = MISTAKES[case]
    found = faults(text)
    assert found, text
    error = found[0]
    assert message in error.message, error.render()
    assert hint in error.hint, error.render()
    assert text.split("\n")[error.line - 1][error.column - 1 :].startswith(under), error.render()


def test_all_faults_of_a_file_are_told_in_order() -> None:
    text = together(
        policy("files:\n  - {allow: [reed], paths: [/a/]}\n  - {deny: [write], path: [/a]}\n"),
        "kind: Nothing\n",
        protection("[a]", "[]"),
    )
    found = faults(text)
    assert len(found) == 6
    assert [error.line for error in found] == sorted(error.line for error in found)


def test_faults_of_all_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: A\n")
    (tmp_path / "b.yml").write_text("kind: B\n")
    (tmp_path / "c.txt").write_text("kind: C\n")
    with pytest.raises(PolicyErrors) as caught:
        load_paths([tmp_path, tmp_path / "none"])
    assert [Path(error.path).name for error in caught.value.errors] == ["a.yaml", "b.yml", "none"]


def test_a_folder_may_hold_documents_of_other_parts(tmp_path: Path) -> None:
    (tmp_path / "trust.yaml").write_text("kind: TrustRoot\nanything: [goes]\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below/a.yaml").write_text(policy(""))
    found = load_paths([tmp_path, tmp_path / "below/a.yaml"])
    assert (found.other, len(found.policies)) == (1, 1)


def test_a_name_given_twice_names_both_places() -> None:
    (error,) = faults(together(policy(""), policy("", subject="{identity: a/b}")))
    assert 'two of kind Policy named "app"' in error.message
    assert "policy.yaml:3:18" in error.message
    assert error.line > 3
    assert not faults(together(policy(""), protection("[/a]", "[read]", name="app")))


def test_two_policies_of_one_subject_name_both_places() -> None:
    (error,) = faults(together(policy(""), policy("", name="other")))
    assert 'test/app has two policies, "app" at policy.yaml:5' in error.message


def test_a_fault_is_shown_with_its_line_and_a_caret() -> None:
    (error,) = faults(rule("files", "{allow: [read], paths: [/a/./b]}"))
    assert error.render().split("\n") == [
        'policy.yaml:9:33: pattern "/a/./b" can never match: a canonical path has no component "."',
        "  9 |     - {allow: [read], paths: [/a/./b]}",
        "    |                                 ^",
        "  hint: write the path that it leads to",
    ]


def test_what_is_shown_cannot_steer_a_terminal() -> None:
    shown = render("bad \x1b[31m", Place("a\x1b.yaml", 1, 5, "x \x1b[2J y"), "\x07")
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "a\\x1b.yaml:1:5" in shown


def test_a_long_line_is_shown_around_the_fault() -> None:
    place = Place("a", 1, 5000, "x" * 4999 + "Y" + "x" * 5000)
    lines = render("m", place).split("\n")
    assert len(lines[1]) < 200
    assert lines[1][lines[2].index("^")] == "Y"


def test_a_flood_of_faults_is_cut() -> None:
    text = policy("files:\n" + "  - {allow: [no], paths: [/a]}\n" * 1000)
    found = faults(text)
    assert len(found) == 201
    assert "faults more" in found[-1].message


def test_the_group_splits_like_any_exception_group() -> None:
    with pytest.raises(PolicyErrors) as caught:
        parse_text("kind: A\n---\nkind: B\n")
    matching = caught.value.subgroup(lambda error: isinstance(error, PolicyError) and error.line == 1)
    assert isinstance(matching, PolicyErrors)
    assert len(matching.errors) == 1
