"""The file of callers: what it says, and what is wrong with it, by line and column and without a token."""

import re
from pathlib import Path

import pytest

from tallystick.core.callers import Caller, CertificateRule, Role, certified, make_token
from tallystick.core.consumer_keys import digest_of, hash_key
from tallystick.core.errors import InvalidPolicy
from tallystick.policyfile.callers_file import FileOfCallers, load_callers

GUIDE = Path(__file__).parents[3] / "docs/guides/security.md"
TOKEN = make_token()


def test_what_a_file_says() -> None:
    found = load_callers(
        f"""
tokens:
  gateway: {{hash: "{hash_key(TOKEN)}", tenant: acme, roles: [decide, read],
            expires: 2027-01-31T01:00:00+01:00, subject: {{team: search, label.desk: "7"}}}}
certificates:
  - {{match: "spiffe://acme/*", tenant: acme, roles: read}}
  - {{match: [a.example, b.example], tenant: "*", roles: [admin]}}
socket: {{tenant: "*", roles: [decide]}}
"""
    )
    bound = (("label.desk", "7"), ("team", "search"))
    both = frozenset({Role.DECIDE, Role.READ})
    spiffe = Caller("certificate spiffe://acme/*", "acme", frozenset({Role.READ}))
    names = Caller("certificate a.example or b.example", "*", frozenset({Role.ADMIN}))
    assert found == FileOfCallers(
        {digest_of(TOKEN): Caller("token gateway", "acme", both, bound, 1_801_353_600_000)},
        (CertificateRule(("spiffe://acme/*",), spiffe), CertificateRule(("a.example", "b.example"), names)),
        Caller("the Unix socket's caller", "*", frozenset({Role.DECIDE})),
    )
    assert certified(found.certificates, ["x.example", "b.example"]) == names
    assert certified(found.certificates, ["spiffe://acme/a", "b.example"]) == spiffe
    assert certified(found.certificates, ["spiffe://other/a"]) is None
    assert certified(found.certificates, []) is None


def test_an_empty_mapping_names_nobody() -> None:
    assert load_callers("{}") == FileOfCallers()


HASH = hash_key("x")
OF_A = f"tokens:\n  a: {{hash: '{HASH}', tenant: a, roles: read"
IN_LINES = f"tokens:\n  a:\n    hash: '{HASH}'\n"


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", 1, "expected a mapping with tokens, certificates, socket, got nothing"),
        ("token: {}", 1, "expected one of the keys tokens, certificates, socket"),
        (f"tokens:\n  a: {{hash: '{HASH}', tenant: acme}}", 2, "expected `roles`, which is required"),
        ("tokens:\n  a: {tenant: acme, roles: [read]}", 2, "expected `hash`"),
        (f"tokens:\n  a: {{hash: {TOKEN}, tenant: acme, roles: [read]}}", 2, "expected the hash"),
        (IN_LINES + "    tenant: A\n    roles: [read]", 4, "expected 1 to 64"),
        (IN_LINES + "    tenant: a\n    roles: [king]", 5, "expected one of decide"),
        (IN_LINES + "    tenant: a\n    roles: []", 5, "at least one"),
        (OF_A + ", expires: 2027-01-31}", 2, "with its zone"),
        (OF_A + ", expires: soon}", 2, "expected a time"),
        (OF_A + f"}}\n  b: {{hash: '{HASH}', tenant: b, roles: read}}", 3, "another hash than that of a"),
        ("socket: {tenant: a, roles: admin, subject: {team: x}}", 1, "expected none with the role admin"),
        ("socket: {tenant: a, roles: read, subject: {planet: x}}", 1, "expected"),
        ("certificates:\n  - {tenant: a, roles: read}", 2, "expected `match`"),
        ("certificates:\n  - {match: [], tenant: a, roles: read}", 2, "at least one"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, line: int, expected: str) -> None:
    with pytest.raises(InvalidPolicy, match=re.escape(expected)) as caught:
        load_callers(text)
    assert caught.value.line == line
    assert TOKEN not in str(caught.value)


def test_the_example_of_the_guide_is_one() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) == 1
    found = load_callers(blocks[0])
    assert (len(found.tokens), len(found.certificates)) == (1, 2)
    assert found.socket
