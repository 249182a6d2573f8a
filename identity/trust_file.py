"""TrustRoot documents: YAML in, `Trust` out, and errors that say where and what to write instead.

Keys are imported with the first one: a host that trusts none does without the library that checks signatures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from identity import located_yaml, names
from identity.errors import IdentityError, Place
from identity.files import read_limited
from identity.located_yaml import Value
from identity.times import parse_time
from identity.trust import Grant, Revocation, Revoked, Trust, TrustRoot

if TYPE_CHECKING:
    from identity.keys import PublicKey

API_VERSION = "menshen/v1"
KIND = "TrustRoot"
_HEX = re.compile(r"[0-9a-f]{64}\Z")
A = TypeVar("A")
T = TypeVar("T")


def load(paths: Iterable[Path]) -> Trust:
    """Read trust roots from files, and from the *.yaml and *.yml files of directories."""
    found: dict[str, TrustRoot] = {}
    for path in paths:
        for file in _files(path):
            content = read_limited(file, located_yaml.MAX_BYTES, "trust root")
            for root in parse(content, str(file), file.parent):
                other = found.setdefault(root.name, root)
                if other is not root:
                    raise IdentityError(
                        f"there is another trust root named {root.name!r}, at {other.place}",
                        place=root.place,
                        hint="another metadata.name",
                    )
    return Trust(found.values())


def parse(content: bytes, file: str, base: Path) -> list[TrustRoot]:
    """The trust roots of one file; key paths in it are relative to `base`."""
    return [_root(document, base) for document in located_yaml.parse(content, file)]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(one for one in path.iterdir() if one.suffix in (".yaml", ".yml") and one.name[0] != ".")


def _root(document: Value, base: Path) -> TrustRoot:
    top = document.fields("a trust root", ("apiVersion", "kind", "metadata", "spec"))
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if top[field].text(field) != wanted:
            raise top[field].error(f"{field} is not {wanted}", f"{field}: {wanted}")
    metadata = top["metadata"].fields("metadata", ("name",))
    name = _located(metadata["name"], names.check_name, metadata["name"].text("name"))
    spec = top["spec"].fields("spec", ("keys",), ("reserved", "revoked"))
    reserved = (
        tuple(_reserved(value) for value in spec["reserved"].items("reserved")) if "reserved" in spec else ()
    )
    grants = tuple(_grant(value, name, reserved, base) for value in spec["keys"].items("keys"))
    revoked = spec["revoked"].items("revoked") if "revoked" in spec else []
    return TrustRoot(
        name, grants, tuple(_revocation(value, name) for value in revoked), metadata["name"].place
    )


def _reserved(value: Value) -> str:
    prefix = value.text("reserved")
    if prefix not in names.RESERVED_PREFIXES:
        raise value.error(
            f"{prefix!r} is not a reserved prefix", f"one of {', '.join(names.RESERVED_PREFIXES)}"
        )
    return prefix


def _grant(value: Value, root: str, reserved: tuple[str, ...], base: Path) -> Grant:
    fields = value.fields("a key", ("identities",), ("publicKey", "keyId", "path", "notBefore", "expires"))
    key = _key(value, fields, base)
    identities = fields["identities"].items("identities")
    if not identities:
        raise fields["identities"].error("the key may give no name at all", 'identities: ["payments/*"]')
    not_before, expires = _time(fields, "notBefore"), _time(fields, "expires")
    if not_before is not None and expires is not None and expires <= not_before:
        raise fields["expires"].error("the key expires before it begins", "a time after notBefore")
    return Grant(
        root,
        key,
        tuple(_pattern(one, reserved) for one in identities),
        reserved,
        not_before,
        expires,
        value.place,
    )


def _key(value: Value, fields: dict[str, Value], base: Path) -> PublicKey:
    from identity.keys import parse_public  # noqa: PLC0415 - loads cryptography

    if "publicKey" in fields:
        if "path" in fields:
            raise fields["path"].error("a key has publicKey or path, not both", "publicKey alone")
        pem = fields["publicKey"]
        key = _located(
            pem, parse_public, pem.text("publicKey").encode(), hint="publicKey: | and the PEM text below it"
        )
    elif "path" in fields:
        if "keyId" not in fields:
            raise value.error(
                "a key that is read from a path is pinned by its keyId", "keyId: <64 hex digits>"
            )
        path = base / fields["path"].text("path")
        key = _located(fields["path"], _read_key, path)
    else:
        raise value.error("the key itself is missing", "publicKey: | with a PEM text, or keyId: and path:")
    if "keyId" in fields and _hex(fields["keyId"], "keyId") != key.key_id:
        raise fields["keyId"].error("this is not the id of that key", f"keyId: {key.key_id}")
    return key


def _read_key(path: Path) -> PublicKey:
    from identity.keys import MAX_PEM_BYTES, parse_public  # noqa: PLC0415 - loads cryptography

    return parse_public(read_limited(path, MAX_PEM_BYTES, "public key"), str(path))


def _pattern(value: Value, reserved: tuple[str, ...]) -> str:
    pattern = _located(value, names.check_pattern, value.text("an identity pattern"))
    for prefix in names.reserved_by(pattern):
        if prefix not in reserved:
            raise value.error(
                f"{pattern!r} gives names under {prefix}, which is reserved",
                f'a narrower pattern, or reserved: ["{prefix}"] in this root\'s spec if that is meant',
            )
    return pattern


def _revocation(value: Value, root: str) -> Revocation:
    kinds = tuple(kind.value for kind in Revoked)
    fields = value.fields("a revocation", ("reason",), (*kinds, "since"))
    given = [kind for kind in Revoked if kind.value in fields]
    if len(given) != 1:
        raise value.error(f"a revocation names one of {', '.join(kinds)}", "keyId: <64 hex digits>")
    what = fields[given[0].value]
    reason = fields["reason"].text("reason")
    return Revocation(given[0], _hex(what, given[0].value), _time(fields, "since"), reason, root)


def _hex(value: Value, what: str) -> str:
    text = value.text(what)
    if not _HEX.match(text):
        raise value.error(f"{what} is not a sha256", "64 lower-case hexadecimal digits")
    return text


def _time(fields: dict[str, Value], name: str) -> int | None:
    if name not in fields:
        return None
    return _located(
        fields[name], lambda text: parse_time(text, date_only=True), fields[name].text(name, time=True)
    )


def _located(value: Value, function: Callable[[A], T], argument: A, hint: str = "") -> T:
    """Call a checker whose errors know no place, and give them this value's."""
    try:
        return function(argument)
    except IdentityError as error:
        place: Place = value.place
        raise IdentityError(error.message, place=place, hint=hint or error.hint) from None
