"""Makes the rules of identity from what a document says."""

from tallystick.core import identity as core
from tallystick.core.identity import subject_from
from tallystick.policyfile import identity_document as doc


def build_consumers(consumers: dict[str, doc.Consumer]) -> tuple[core.Consumer, ...]:
    """Make the consumers, in the order of the text."""
    return tuple(
        core.Consumer(
            name,
            (each.key,) if each.key is not None else tuple(each.keys or ()),
            subject_from(each.subject),
            each.disabled,
        )
        for name, each in consumers.items()
    )


def build_identity(identity: doc.Identity) -> core.IdentityRules:
    """Make the rules of who is believed what."""
    anonymous = identity.anonymous
    return core.IdentityRules(
        claims=tuple(identity.claims.items()),
        headers=tuple(identity.headers.items()),
        principals=tuple(
            core.PrincipalRule(tuple(each.match), subject_from(each.subject)) for each in identity.principals
        ),
        self_declared=tuple(identity.self_declared.items()),
        anonymous=None if anonymous is None else subject_from(anonymous.subject),
        ignore_unknown_keys=identity.unknown_keys == "ignore",
    )


def build_routes(routes: doc.Routes) -> core.RouteRules:
    """Make the rules of routes: those that nobody meters, and streams that are not asked for usage."""
    without = tuple(routes.without_usage)
    if isinstance(routes.unmetered, list):
        return core.RouteRules(tuple(routes.unmetered), without)
    return core.RouteRules(("*",) if routes.unmetered == "allow" else (), without)
