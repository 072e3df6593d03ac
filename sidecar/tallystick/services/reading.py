"""From requests to calls: checks every field, and names the one that is wrong."""

from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from tallystick.core.errors import InvalidArgument
from tallystick.core.hold import MAX_TALLY_BYTES
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.outcome import Outcome
from tallystick.core.subject import (
    DIMENSIONS,
    MAX_VALUE_BYTES,
    TENANT,
    Subject,
    check_subject,
    check_text,
)
from tallystick.core.usage import Usage
from tallystick.engine.calls import (
    BalanceCall,
    ChargeCall,
    Cost,
    ExtendCall,
    ProviderRequest,
    ReserveCall,
    SettleCall,
    TokenEstimate,
    settle_content,
)
from tallystick.providers.call import Api
from tallystick.providers.usage import parse_usage
from tallystick.v1 import budget_pb2

MAX_ID_BYTES = 128
MIN_TTL_MS, MAX_TTL_MS = 1_000, 86_400_000
MAX_BATCH = 1_000
MAX_JUSTIFICATION_BYTES = 1_000
MAX_WAIT_S = 86_400

APIS = {
    budget_pb2.ProviderRequest.API_OPENAI_CHAT: Api.OPENAI_CHAT,
    budget_pb2.ProviderRequest.API_OPENAI_RESPONSES: Api.OPENAI_RESPONSES,
    budget_pb2.ProviderRequest.API_OPENAI_EMBEDDINGS: Api.OPENAI_EMBEDDINGS,
    budget_pb2.ProviderRequest.API_ANTHROPIC_MESSAGES: Api.ANTHROPIC_MESSAGES,
    budget_pb2.ProviderRequest.API_GEMINI_GENERATE: Api.GEMINI_GENERATE,
    budget_pb2.ProviderRequest.API_BEDROCK_CONVERSE: Api.BEDROCK_CONVERSE,
}

OUTCOMES = {int(outcome): outcome for outcome in Outcome}

_dimensions = attrgetter(*DIMENSIONS)
_usage = attrgetter(*Usage._fields)


def read_reserve(request: budget_pb2.ReserveRequest) -> ReserveCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant, reservation_id = read_tenant(request.tenant), request.reservation_id
    if reservation_id:
        check_text("reservation_id", reservation_id, MAX_ID_BYTES)
    model = request.model
    _check_name("model", model)
    _check_name("provider", request.provider)
    estimate: TokenEstimate | Cost | ProviderRequest
    given = request.WhichOneof("estimate")
    if given == "tokens":
        tokens = request.tokens
        if tokens.input < 0 or tokens.max_output < 0:
            raise InvalidArgument("tokens", "expected input and max_output of at least 0")
        estimate = TokenEstimate(tokens.input, tokens.max_output or None)
    elif given == "cost":
        estimate = read_cost("cost", request.cost)
    elif given == "request":
        estimate = _read_provider_request(request.request)
    else:
        raise InvalidArgument("estimate", "expected one of tokens, cost and request")
    if given == "tokens" and not model:
        raise InvalidArgument("model", "expected the model that the tokens are priced for")
    ttl_ms = read_ttl(request.ttl) if request.HasField("ttl") else 0
    subject = read_subject(request.subject)
    content = _content(request) if reservation_id else ""  # nobody repeats an id that is to be made
    said = request.justification
    if request.HasField("wait"):
        read_wait(request.wait)
    if said:
        check_text("justification", said, MAX_JUSTIFICATION_BYTES)
    return ReserveCall(
        tenant, reservation_id, content, subject, model, request.provider, estimate, ttl_ms, said
    )


def _content(request: budget_pb2.ReserveRequest) -> str:
    """A digest of what is asked for: who comes back with a ticket may wait, or say more, this time."""
    if request.justification or request.HasField("wait"):
        asked = budget_pb2.ReserveRequest()
        asked.CopyFrom(request)
        asked.ClearField("justification")
        asked.ClearField("wait")
        return digest(asked)
    return digest(request)


def read_wait(wait: Duration) -> float:
    """Seconds. Raises InvalidArgument."""
    wait_s = wait.seconds + wait.nanos / 1e9
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise InvalidArgument("wait", "expected 0 s to 24 h")
    return wait_s


def digest(request: Message) -> str:
    """What tells a retry from another request with the same id."""
    return blake2b(request.SerializeToString(deterministic=True), digest_size=12).hexdigest()


@lru_cache(maxsize=4096)
def read_tenant(tenant: str) -> str:
    """Checks a tenant's name. Raises InvalidArgument."""
    if not TENANT.fullmatch(tenant):
        raise InvalidArgument("tenant", "expected 1 to 64 of [a-z0-9_.-]")
    return tenant


@lru_cache(maxsize=4096)
def _check_name(field: str, value: str) -> None:
    if value:
        check_text(field, value)


def read_subject(message: budget_pb2.Subject) -> Subject:
    """Checks and translates. Raises InvalidArgument."""
    return _read_subject(message.SerializeToString())


@lru_cache(maxsize=8192)
def _read_subject(raw: bytes) -> Subject:
    """The same few subjects come again and again."""
    message = budget_pb2.Subject.FromString(raw)
    values = _dimensions(message)
    labels = tuple(sorted(message.labels.items())) if message.labels else ()
    subject = Subject._make((*values, labels))
    together = "".join(values)
    # One look at all of them; only what stands out is looked at one by one.
    if labels or len(together) > MAX_VALUE_BYTES or not (together.isascii() and together.isprintable()):
        check_subject(subject)
    return subject


def read_cost(field: str, cost: budget_pb2.Cost) -> Cost:
    """Checks and translates. Raises InvalidArgument."""
    nano_usd, tokens = cost.nano_usd, cost.tokens
    if nano_usd < 0:
        raise InvalidArgument(f"{field}.nano_usd", "expected at least 0")
    if tokens < 0:
        raise InvalidArgument(f"{field}.tokens", "expected at least 0")
    return Cost(nano_usd, tokens)


def _read_provider_request(request: budget_pb2.ProviderRequest) -> ProviderRequest:
    api = APIS.get(request.api)
    if api is None:
        raise InvalidArgument("request.api", "expected one of " + ", ".join(a.name for a in Api))
    return ProviderRequest(api, request.body)


def read_ttl(ttl: Duration, field: str = "ttl") -> int:
    """Milliseconds. Raises InvalidArgument."""
    ttl_ms = ttl.seconds * 1_000 + ttl.nanos // 1_000_000
    if not MIN_TTL_MS <= ttl_ms <= MAX_TTL_MS:
        raise InvalidArgument(field, "expected 1 s to 24 h")
    return ttl_ms


def read_reservation(request: Message) -> tuple[str, str]:
    """Tenant and id of a request about a reservation."""
    tenant, reservation_id = request.tenant, request.reservation_id  # type: ignore[attr-defined]
    read_tenant(tenant)
    if not reservation_id:
        raise InvalidArgument("reservation_id", "expected the id that came with the ALLOW")
    check_text("reservation_id", reservation_id, MAX_ID_BYTES)
    return tenant, reservation_id


def _read_tally(tally: bytes) -> bytes:
    if len(tally) > MAX_TALLY_BYTES:
        raise InvalidArgument("tally", f"expected at most {MAX_TALLY_BYTES} bytes")
    return tally


def read_settle(request: budget_pb2.SettleRequest) -> SettleCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant, reservation_id = read_reservation(request)
    outcome = OUTCOMES.get(request.outcome)
    if outcome is None:
        raise InvalidArgument("outcome", "expected one of " + ", ".join(Outcome.__members__))
    actual: Usage | Cost | None = None
    given = request.WhichOneof("actual")
    if given == "usage":
        actual = _read_usage(request.usage)
    elif given == "provider_usage":
        actual = parse_usage(request.provider_usage)
    elif given == "cost":
        actual = read_cost("cost", request.cost)
    if request.estimated and actual is None:
        raise InvalidArgument("estimated", "expected usage or a cost with it; without them it is the hold")
    content = settle_content(outcome, actual)
    tally = _read_tally(request.tally)
    return SettleCall(tenant, reservation_id, content, tally, outcome, actual, request.estimated)


def _read_usage(message: budget_pb2.Usage) -> Usage | None:
    """Tokens by class; none at all is no usage, and never free."""
    usage = Usage._make(_usage(message))
    if min(usage) < 0:
        name = next(name for name, tokens in zip(Usage._fields, usage, strict=True) if tokens < 0)
        raise InvalidArgument(f"usage.{name}", "expected at least 0")
    if usage.reasoning > usage.output:
        raise InvalidArgument("usage.reasoning", "expected at most output, which includes it")
    total = usage.total
    if total > MAX_AMOUNT:
        raise InvalidArgument("usage", "expected at most 2^63 - 1 tokens in all")
    return usage if total else None


def read_release(request: budget_pb2.ReleaseRequest) -> tuple[str, str]:
    """Tenant and id. Raises InvalidArgument."""
    return read_reservation(request)


def read_extend(request: budget_pb2.ExtendRequest) -> ExtendCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant, reservation_id = read_reservation(request)
    more = read_cost("more", request.more) if request.HasField("more") else None
    if more and not request.extension_id:
        raise InvalidArgument("extension_id", "expected an id with more, so that a retry adds nothing")
    if request.extension_id:
        check_text("extension_id", request.extension_id, MAX_ID_BYTES)
    ttl_ms = read_ttl(request.ttl) if request.HasField("ttl") else 0
    tally = _read_tally(request.tally)
    return ExtendCall(tenant, reservation_id, tally, request.extension_id, ttl_ms, more)


def read_balance(request: budget_pb2.BalanceRequest) -> BalanceCall:
    """Checks and translates. Raises InvalidArgument."""
    _check_name("model", request.model)
    _check_name("provider", request.provider)
    return BalanceCall(
        read_tenant(request.tenant), read_subject(request.subject), request.model, request.provider
    )


def read_charge(request: budget_pb2.ChargeRequest) -> ChargeCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant, charge_id = read_tenant(request.tenant), request.charge_id
    if not charge_id:
        raise InvalidArgument("charge_id", "expected an id, so that a retry charges nothing")
    check_text("charge_id", charge_id, MAX_ID_BYTES)
    _check_name("model", request.model)
    _check_name("provider", request.provider)
    used: Usage | Cost | None = None
    given = request.WhichOneof("used")
    if given == "usage":
        used = _read_usage(request.usage)
    elif given == "provider_usage":
        used = parse_usage(request.provider_usage)
    elif given == "cost":
        used = read_cost("cost", request.cost)
    if used is None:
        raise InvalidArgument("used", "expected one of usage, provider_usage and cost, with what was used")
    if not request.model and isinstance(used, Usage):
        raise InvalidArgument("model", "expected the model that the usage is priced for")
    subject, content = read_subject(request.subject), f"charge {digest(request)}"
    return ChargeCall(tenant, charge_id, content, subject, request.model, request.provider, used)


def check_batch(size: int) -> None:
    """Refuses a batch that is too large. Raises InvalidArgument."""
    if size > MAX_BATCH:
        raise InvalidArgument("requests", f"expected at most {MAX_BATCH}, got {size}")
