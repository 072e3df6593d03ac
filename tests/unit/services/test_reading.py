import pytest
from google.protobuf.duration_pb2 import Duration

from tallystick.core.errors import InvalidArgument
from tallystick.core.outcome import Outcome
from tallystick.core.subject import Subject
from tallystick.core.usage import Usage
from tallystick.engine.calls import Cost, ProviderRequest, TokenEstimate
from tallystick.providers.call import Api
from tallystick.services.reading import (
    check_batch,
    read_extend,
    read_reserve,
    read_settle,
    read_subject,
    read_ttl,
)
from tallystick.v1 import budget_pb2 as pb


def reserve_of(**fields: object) -> pb.ReserveRequest:
    cost = {} if fields.keys() & {"cost", "tokens", "request"} else {"cost": pb.Cost(nano_usd=5)}
    return pb.ReserveRequest(**{"tenant": "acme"} | cost | fields)  # type: ignore[arg-type]


def settle_of(**fields: object) -> pb.SettleRequest:
    given = {"tenant": "acme", "reservation_id": "r", "outcome": pb.OUTCOME_COMPLETED} | fields
    return pb.SettleRequest(**given)  # type: ignore[arg-type]


def test_a_reserve_is_read_whole() -> None:
    subject = pb.Subject(org="o", user="u", prompt="p", labels={"b": "2", "a": "1"})
    call = read_reserve(
        reserve_of(
            reservation_id="r", subject=subject, model="m", provider="p", ttl=Duration(seconds=5, nanos=10**6)
        )
    )
    assert call.subject == Subject(org="o", user="u", prompt="p", labels=(("a", "1"), ("b", "2")))
    assert (call.tenant, call.reservation_id, call.model, call.provider) == ("acme", "r", "m", "p")
    assert (call.estimate, call.ttl_ms) == (Cost(5, 0), 5_001)


def test_each_estimate_is_read() -> None:
    tokens = read_reserve(reserve_of(model="m", tokens=pb.TokenEstimate(input=5)))
    assert tokens.estimate == TokenEstimate(5, None)
    limited = read_reserve(reserve_of(model="m", tokens=pb.TokenEstimate(input=5, max_output=6)))
    assert limited.estimate == TokenEstimate(5, 6)
    for api in (1, 2, 3, 4):
        request = pb.ProviderRequest(body=b"{}")
        request.api = api  # type: ignore[assignment]
        read = read_reserve(reserve_of(request=request)).estimate
        assert isinstance(read, ProviderRequest)
        assert read == ProviderRequest(list(Api)[api - 1], b"{}")


@pytest.mark.contract(4)
def test_the_content_of_a_reserve_is_all_that_it_says() -> None:
    labels = {f"l{n}": str(n) for n in range(9)}
    backwards = dict(reversed(labels.items()))
    base = reserve_of(reservation_id="r", subject=pb.Subject(labels=labels))
    same = reserve_of(reservation_id="r", subject=pb.Subject(labels=backwards))
    assert read_reserve(base).content == read_reserve(same).content
    others = [
        reserve_of(reservation_id="r"),
        reserve_of(reservation_id="r", subject=pb.Subject(labels=labels), model="m"),
        reserve_of(reservation_id="r", subject=pb.Subject(labels=labels), cost=pb.Cost(nano_usd=6)),
        reserve_of(reservation_id="r", subject=pb.Subject(labels=labels), ttl=Duration(seconds=5)),
        reserve_of(reservation_id="r", subject=pb.Subject(labels=labels | {"l0": "x"})),
    ]
    assert len({read_reserve(each).content for each in [base, *others]}) == 6


@pytest.mark.contract(4)
def test_an_estimate_of_the_callers_needs_one() -> None:
    call = read_settle(settle_of(usage=pb.Usage(input=5), estimated=True))
    assert call.estimated
    assert call.content == read_settle(settle_of(usage=pb.Usage(input=5))).content
    with pytest.raises(InvalidArgument, match="estimated: expected usage or a cost"):
        read_settle(settle_of(estimated=True))


def test_the_content_of_a_settle_is_its_outcome_and_what_was_spent() -> None:
    usage = pb.Usage(input=5, output=7)
    base = read_settle(settle_of(usage=usage))
    raw = b'{"prompt_tokens": 5, "completion_tokens": 7}'
    assert read_settle(settle_of(usage=usage, tally=b"t")).content == base.content
    assert read_settle(settle_of(provider_usage=raw)).content == base.content
    assert base.actual == Usage(input=5, output=7)
    others = [
        settle_of(usage=pb.Usage(input=5, output=8)),
        settle_of(usage=usage, outcome=pb.OUTCOME_CLIENT_ABORTED),
        settle_of(cost=pb.Cost(nano_usd=5, tokens=7)),
        settle_of(),
    ]
    assert len({read_settle(each).content for each in others} | {base.content}) == 5


def test_every_outcome_of_the_api_is_known() -> None:
    for number in pb.Outcome.values()[1:]:
        outcome = read_settle(settle_of(outcome=number)).outcome
        assert pb.Outcome.Name(number) == f"OUTCOME_{outcome.name}"
    assert len(Outcome) == len(pb.Outcome.values()) - 1


@pytest.mark.parametrize(
    ("ttl", "ms"),
    [
        (Duration(seconds=1), 1_000),
        (Duration(seconds=86_400), 86_400_000),
        (Duration(seconds=1, nanos=999_999_999), 1_999),
        (Duration(nanos=999_999_999), None),
        (Duration(seconds=86_400, nanos=1_000_000), None),
        (Duration(seconds=-1), None),
        (Duration(), None),
    ],
)
def test_a_ttl_is_from_a_second_to_a_day(ttl: Duration, ms: int | None) -> None:
    if ms is None:
        with pytest.raises(InvalidArgument, match=r"^ttl: "):
            read_ttl(ttl)
    else:
        assert read_ttl(ttl) == ms


def test_a_subject_is_checked_also_when_its_values_are_short() -> None:
    assert read_subject(pb.Subject(user="a" * 256)).user == "a" * 256
    assert read_subject(pb.Subject(user="a" * 200, team="b" * 200)).team == "b" * 200
    assert read_subject(pb.Subject(user="é" * 128)).user == "é" * 128
    for bad in (
        pb.Subject(user="a" * 257),
        pb.Subject(user="é" * 129),
        pb.Subject(session="\t"),
        pb.Subject(user="fine", team="\u2028"),
        pb.Subject(labels={"a b": "x"}),
        pb.Subject(labels={f"l{n}": "" for n in range(17)}),
    ):
        with pytest.raises(InvalidArgument, match=r"^subject"):
            read_subject(bad)


def test_a_tenant_is_a_whole_name() -> None:
    for tenant in ("a", "acme-1_x.y", "9" * 64):
        assert read_reserve(reserve_of(tenant=tenant)).tenant == tenant
    for tenant in ("", "A", "a b", "a\n", "a:b", "é", "9" * 65):
        with pytest.raises(InvalidArgument, match=r"^tenant: "):
            read_reserve(reserve_of(tenant=tenant))


def test_an_extension_with_money_needs_an_id() -> None:
    plain = pb.ExtendRequest(tenant="acme", reservation_id="r")
    assert read_extend(plain).more is None
    with pytest.raises(InvalidArgument, match=r"^extension_id: "):
        read_extend(pb.ExtendRequest(tenant="acme", reservation_id="r", more=pb.Cost()))
    named = read_extend(
        pb.ExtendRequest(tenant="acme", reservation_id="r", more=pb.Cost(tokens=5), extension_id="e")
    )
    assert (named.more, named.ttl_ms) == (Cost(0, 5), 0)


def test_a_batch_has_a_thousand_at_most() -> None:
    check_batch(1_000)
    with pytest.raises(InvalidArgument, match="1001"):
        check_batch(1_001)
