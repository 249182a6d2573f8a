"""System calls, as the hooks ask for rights."""

from __future__ import annotations

import os
import socket

import pytest

from policies import Operations, Verdict, endpoint
from policies.image import Builtin, Right, Special
from policies.operations import Name
from tests.unit.policies.helpers import compiled, evaluator, operations, policy, protection

R = Right


def only(*rights: str, path: str = "/f") -> Operations:
    """A subject that has these rights on one path."""
    return operations(policy(f"files:\n  - {{allow: [{', '.join(rights)}], paths: ['{path}']}}\n"))


# flags, exists, the rights that together suffice
OPENS = [
    (os.O_RDONLY, True, ("read",)),
    (os.O_WRONLY, True, ("write",)),
    (os.O_RDWR, True, ("read", "write")),
    (os.O_WRONLY | os.O_APPEND, True, ("append",)),
    (os.O_RDWR | os.O_APPEND, True, ("read", "append")),
    (os.O_WRONLY | os.O_APPEND | os.O_TRUNC, True, ("write",)),
    (os.O_RDONLY | os.O_TRUNC, True, ("read", "write")),
    (os.O_WRONLY | os.O_CREAT, False, ("create", "write")),
    (os.O_WRONLY | os.O_CREAT, True, ("write",)),
    (os.O_WRONLY | os.O_CREAT | os.O_APPEND, False, ("create", "append")),
    (os.O_RDWR | os.O_TMPFILE, True, ("read", "write", "create")),
]


@pytest.mark.parametrize(("flags", "exists", "needed"), OPENS)
def test_open_needs_exactly_its_rights(flags: int, exists: bool, needed: tuple[str, ...]) -> None:
    assert only(*needed).open("/f", flags, exists=exists).allowed
    for missing in needed:
        others = [each for each in needed if each != missing] or ["ioctl"]
        assert not only(*others).open("/f", flags, exists=exists).allowed, f"without {missing}"


def test_opening_a_directory_is_listing() -> None:
    app = only("read", path="/d/**")
    assert app.open("/d", os.O_RDONLY, is_directory=True).right == R.LIST
    assert app.open("/d", os.O_RDONLY, is_directory=True).allowed
    assert not app.open("/d", os.O_RDONLY).allowed


SIMPLE = {
    "create": ("create", R.CREATE),
    "mkdir": ("create", R.CREATE),
    "symlink": ("create", R.CREATE),
    "unlink": ("delete", R.DELETE),
    "rmdir": ("delete", R.DELETE),
    "truncate": ("write", R.WRITE),
    "attributes": ("attributes", R.ATTRIBUTES),
    "ioctl": ("ioctl", R.IOCTL),
}


@pytest.mark.parametrize("call", SIMPLE)
def test_a_simple_call_needs_its_one_right(call: str) -> None:
    word, right = SIMPLE[call]
    allowed: Verdict = getattr(only(word), call)("/f")
    denied: Verdict = getattr(only("read"), call)("/f")
    assert allowed.allowed
    assert (denied.allowed, denied.enforced, denied.right) == (False, True, right)


TREE = policy(
    """
    files:
      - {allow: [read, rename, create, delete, link], paths: ["/a/**"]}
      - {allow: [read, write, rename, create, delete, link], paths: ["/w/**"]}
      - {allow: [create, link, rename], paths: ["/n/**"]}
      - {deny: [rename], paths: ["/a/stays"]}
      - {deny: [create], paths: ["/a/never"]}
    """
)

# old, new, directory, replaces: what is denied, by which right
RENAMES = [
    ("/a/f", "/a/g", False, False, None),
    ("/a/f", "/a/g", False, True, None),
    ("/x/f", "/a/g", False, False, R.RENAME),
    ("/a/stays", "/a/g", False, False, R.RENAME),
    ("/a/f", "/x/g", False, False, R.CREATE),
    ("/a/f", "/a/never", False, False, R.CREATE),
    ("/a/f", "/n/g", False, True, R.DELETE),
    ("/a/f", "/n/g", False, False, None),
    ("/a/d", "/a/e", True, False, None),
    ("/a/d", "/w/d", True, False, Builtin.GAIN),
    ("/w/d", "/a/d", True, False, None),
    ("/w/d", "/n/d", True, False, None),
    ("/a/f", "/w/f", False, False, None),
]


@pytest.mark.parametrize(("old", "new", "directory", "replaces", "denied"), RENAMES)
def test_rename_asks_on_both_names(
    old: str, new: str, directory: bool, replaces: bool, denied: Right | Builtin | None
) -> None:
    verdict = operations(TREE).rename(old, new, is_directory=directory, replaces=replaces)
    if isinstance(denied, Builtin):
        assert (verdict.enforced, verdict.rule) == (True, denied)
    else:
        assert (verdict.right if verdict.enforced else None) == denied


def test_a_directory_with_something_protected_below_stays() -> None:
    guard = protection("[/d/e/key]", "[rename, delete]")
    app = operations(guard, subject="test/anyone")
    assert app.rename("/d", "/o", is_directory=True).enforced
    assert app.rename("/d/e", "/d/o", is_directory=True).enforced
    assert not app.rename("/d/o", "/d/p", is_directory=True).enforced
    assert not app.rename("/d", "/o").enforced


def test_no_directory_comes_to_where_something_below_may_not_be_created() -> None:
    app = operations(protection('["/etc/cron.d/**"]', "[create]"), subject="test/anyone")
    assert app.rename("/tmp/x", "/etc/cron.d", is_directory=True).enforced
    assert app.rename("/tmp/x", "/etc", is_directory=True, replaces=True).enforced
    assert not app.rename("/tmp/x", "/etc/other", is_directory=True).enforced


def test_the_unconfined_gain_nothing_and_are_not_asked() -> None:
    app = operations(protection('["/k/**"]', "[read]"), subject="test/anyone")
    assert not app.rename("/k/d", "/o", is_directory=True).reported
    assert not app.link("/k/f", "/o").reported


LINKS = [
    ("/a/f", "/a/g", None),
    ("/x/f", "/a/g", R.LINK),
    ("/a/f", "/x/g", R.CREATE),
    ("/a/f", "/w/g", Builtin.GAIN),
    ("/w/f", "/a/g", None),
    ("/w/f", "/n/g", None),
    ("/n/f", "/a/g", Builtin.GAIN),
]


@pytest.mark.parametrize(("old", "new", "denied"), LINKS)
def test_a_link_gives_no_right_that_was_not_there(old: str, new: str, denied: Right | Builtin | None) -> None:
    verdict = operations(TREE).link(old, new)
    if isinstance(denied, Builtin):
        assert (verdict.enforced, verdict.rule) == (True, denied)
    else:
        assert (verdict.right if verdict.enforced else None) == denied


def test_a_gain_is_only_reported_in_audit() -> None:
    verdict = operations(TREE.replace("mode: enforce", "mode: audit")).link("/a/f", "/w/g")
    assert (verdict.allowed, verdict.reported, verdict.rule) == (True, True, Builtin.GAIN)


def test_exchange_goes_both_ways() -> None:
    app = operations(TREE)
    assert app.exchange("/a/f", "/a/g").allowed
    assert not app.exchange("/a/f", "/x/g").allowed
    assert not app.exchange("/x/g", "/a/f").allowed
    assert app.exchange("/a/d", "/w/d", old_is_directory=True).rule == Builtin.GAIN
    assert app.exchange("/w/d", "/a/d", new_is_directory=True).rule == Builtin.GAIN


PROGRAMS = policy(
    """
    files:
      - {allow: [read], paths: ["/lib/*"]}
      - {allow: [map-exec], paths: ["/lib/plain*", "/m/*"], unsigned: true}
      - {deny: [execute], paths: ["/p/bad"]}
    exec:
      - {paths: ["/p/own*", "/p/bad"]}
      - {paths: ["/p/*"], as: self}
      - {paths: ["/p/*-unsigned"], unsigned: true}
    """
)


@pytest.mark.parametrize(
    ("path", "identified", "allowed", "rule", "as_self"),
    [
        ("/p/own", True, True, None, False),
        ("/p/own", False, False, Builtin.UNIDENTIFIED_PROGRAM, False),
        ("/p/own-unsigned", False, True, None, False),
        ("/p/x", True, True, None, True),
        ("/p/x-unsigned", False, True, None, True),
        ("/p/bad", True, False, None, False),
        ("/q", True, False, None, False),
    ],
)
def test_a_program_needs_a_rule_and_a_credential(
    path: str, identified: bool, allowed: bool, rule: Builtin | None, as_self: bool
) -> None:
    app = operations(PROGRAMS)
    verdict = app.execute(path, identified=identified)
    assert verdict.allowed == allowed
    assert verdict.right == R.EXECUTE
    assert rule is None or verdict.rule == rule
    assert app.executes_as_self(path) == as_self


@pytest.mark.parametrize(
    ("path", "identified", "allowed"),
    [
        ("/lib/a", True, True),
        ("/lib/a", False, False),
        ("/lib/plain", False, True),
        ("/m/a", False, True),
        ("/x", True, False),
    ],
)
def test_a_library_needs_a_readable_path_and_a_credential(path: str, identified: bool, allowed: bool) -> None:
    assert operations(PROGRAMS).map_exec(path, identified=identified).allowed == allowed


def test_the_unconfined_run_anything() -> None:
    app = operations(PROGRAMS, subject="test/anyone")
    assert not app.execute("/x", identified=False).reported
    assert not app.map_exec("/x", identified=False).reported
    assert not app.executes_as_self("/p/x")
    assert not app.jit().reported


SPECIAL = policy(
    """
    special:
      allow: [netlink, {kill: [test/worker]}, {ptrace: [test/worker]}]
      capabilities: [net_bind_service, checkpoint_restore]
    """
)


@pytest.mark.parametrize(
    ("special", "target", "allowed"),
    [
        (Special.NETLINK, None, True),
        (Special.BPF, None, False),
        (Special.KILL, "test/worker", True),
        (Special.KILL, "test/other", False),
        (Special.KILL, "test/app", True),
        (Special.PTRACE, "test/worker", True),
        (Special.PTRACE, "test/app", False),
        (Special.PTRACE, 0, False),
        (Special.SCHEDULE_OTHERS, "test/worker", False),
        (Special.USB, None, False),
    ],
)
def test_special_rights_hold_for_what_they_name(
    special: Special, target: str | int | None, allowed: bool
) -> None:
    verdict = operations(SPECIAL).special(special, target)
    assert verdict.allowed == allowed
    assert verdict.enforced != allowed


def test_the_unidentified_are_nobodys_kin() -> None:
    app = operations(policy("", subject="{unidentified: true}"), subject=None)
    assert not app.special(Special.KILL, 0).allowed
    assert not app.special(Special.KILL, "test/app").allowed


@pytest.mark.parametrize(
    ("number", "allowed"), [(10, True), (40, True), (21, False), (0, False), (63, False)]
)
def test_capabilities_are_those_listed(number: int, allowed: bool) -> None:
    assert operations(SPECIAL).capability(number).allowed == allowed


def test_special_denials_name_their_list_or_the_policy() -> None:
    listed = operations(SPECIAL)
    kinds = [
        listed.evaluator.meta.rules[verdict.rule].kind
        for verdict in (listed.special(Special.BPF), listed.capability(21), listed.jit())
    ]
    assert kinds == ["special", "capabilities", "default"]
    bare = operations(policy("jit: false", mode="audit"))
    for verdict, kind in (
        (bare.special(Special.BPF), "default"),
        (bare.capability(1), "default"),
        (bare.jit(), "jit"),
    ):
        assert (verdict.allowed, verdict.reported) == (True, True)
        assert bare.evaluator.meta.rules[verdict.rule].kind == kind


def test_jit_is_a_flag() -> None:
    assert operations(policy("jit: true")).jit().allowed
    denied = operations(policy("")).jit()
    assert (denied.enforced, denied.right) == (True, R.MAP_EXEC)


SOCKETS = policy(
    """
    files:
      - {allow: [create], paths: ["/run/a/*"]}
    network:
      - {allow: listen, unix: "/run/**"}
      - {allow: listen, unix: "@app*"}
      - {allow: connect, to: {unix: "/run/redis/*.sock"}}
      - {allow: connect, to: {unix: "@peer"}}
      - {deny: connect, to: {unix: "/run/redis/admin.sock"}}
    """
)


@pytest.mark.parametrize(
    ("call", "where", "allowed"),
    [
        ("unix_connect", "/run/redis/a.sock", True),
        ("unix_connect", "/run/redis/admin.sock", False),
        ("unix_connect", "/run/other.sock", False),
        ("unix_connect", "@peer", True),
        ("unix_connect", "@app", False),
        ("unix_listen", "/run/a/b", True),
        ("unix_listen", "/run/b", False),
        ("unix_listen", "@app/1", True),
        ("unix_listen", "@peer", False),
    ],
)
def test_unix_sockets_go_by_path_or_name(call: str, where: str, allowed: bool) -> None:
    assert getattr(operations(SOCKETS), call)(where).allowed == allowed


def test_a_socket_of_ones_own_needs_no_rule_but_heeds_what_denies_it_by_name() -> None:
    app = operations(SOCKETS)
    assert app.unix_connect("/run/other.sock", kin=True).allowed
    assert not app.unix_connect("/run/other.sock").allowed
    assert not app.unix_connect("/run/redis/admin.sock", kin=True).allowed


def test_a_descriptor_is_held_by_whoever_may_open_the_file_so() -> None:
    app = operations(policy('files:\n  - {allow: [read, append], paths: ["/a/*"]}\n'))
    assert app.hold("/a/x", os.O_RDONLY).allowed
    assert app.hold("/a/x", os.O_RDWR | os.O_APPEND | os.O_CREAT).allowed
    assert not app.hold("/a/x", os.O_RDWR).allowed


def test_an_exec_carries_what_the_new_subject_may_open_and_what_the_caller_chose_for_it() -> None:
    app = operations(policy('files:\n  - {allow: [read], paths: ["/a/*"]}\n'))
    assert app.inherit("/a/x", os.O_RDONLY, 3).allowed
    assert app.inherit("/b/x", os.O_RDONLY, 3).enforced
    assert app.inherit("/a/x", os.O_RDWR, 7).enforced
    assert app.inherit("/b/x", os.O_RDWR, 2).allowed


def test_a_connection_is_kept_if_it_may_be_made_or_may_have_been_accepted() -> None:
    rules = "network:\n  - {allow: connect, to: {ports: [443]}}\n  - {allow: listen, ports: [80]}\n"
    app = operations(policy(rules))

    def end(port: int) -> bytes:
        return endpoint.encode(socket.IPPROTO_TCP, "10.0.0.1", port)

    assert app.keep(end(443), end(40000)).allowed
    assert app.keep(end(50000), end(80)).allowed
    assert app.keep(end(444), end(40000)).enforced


def test_another_protected_name_of_the_file_denies_too() -> None:
    app = operations(policy('files:\n  - {allow: [read], paths: ["/a/*"]}\n'), protection("[/k]", "[read]"))
    protected, _ = app.evaluator.classify(b"/k")
    assert app.open("/a/f", os.O_RDONLY).allowed
    assert app.open(Name(b"/a/f", alias=protected), os.O_RDONLY).enforced
    assert not app.open(Name(b"/x", alias=0), os.O_RDONLY).allowed
    elsewhere = app.evaluator.classify(b"/nowhere")[0]
    assert app.open(Name(b"/a/f", alias=elsewhere), os.O_RDONLY).allowed, "only what is denied by name binds"


def test_mounting_over_something_protected_or_above_it_is_denied() -> None:
    app = operations(protection("[/etc/ssh/keys]", "[mount]"), subject="test/anyone")
    assert app.mount_over("/etc/ssh/keys").enforced
    assert app.mount_over("/etc/ssh").enforced
    assert app.mount_over("/").enforced
    assert app.mount_over("/srv").allowed
    assert operations(policy("")).mount_over("/srv").allowed


def test_what_is_protected_and_where_it_lies() -> None:
    found = evaluator(
        policy(
            """
            files:
              - {deny: [read], paths: ["/k/{a,b}/**", "/k/a/x"]}
              - {allow: [read], paths: ["/**"]}
            network:
              - {deny: connect, to: {cidr: 10.0.0.0/8}}
              - {deny: connect, to: {unix: "@agent"}}
            """
        ),
        protection('["/etc/ssh/*", "@name"]', "[write]"),
    )
    assert found.protected_roots() == ("/etc/ssh", "/k/a", "/k/b")
    assert found.protected_state(b"/k/a/y") is not None
    assert found.protected_state(b"/k/c") is None


def test_an_allowed_access_names_the_rule_that_allowed_it() -> None:
    app = only("read")
    entry = app.evaluator.meta.rules[app.open("/f", os.O_RDONLY).rule]
    assert (entry.kind, entry.place.line) == ("file", 9)


def test_watch_says_which_rights_matter() -> None:
    found = compiled(policy(""), protection("[/k]", "[write]"))
    rows = evaluator(policy(""), protection("[/k]", "[write]")).rows
    assert found.meta.rows == ("unconfined", "unidentified", "test/app")
    write = 1 << R.WRITE | 1 << R.APPEND
    assert [int(row["watch"]) for row in rows] == [write, write, (1 << 15) - 1 & ~(1 << R.MOUNT)]
