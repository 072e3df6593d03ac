import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Result(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESULT_UNSPECIFIED: _ClassVar[Result]
    RESULT_ALLOW: _ClassVar[Result]
    RESULT_DENY: _ClassVar[Result]
    RESULT_HOLD: _ClassVar[Result]

class TicketState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TICKET_STATE_UNSPECIFIED: _ClassVar[TicketState]
    TICKET_STATE_OPEN: _ClassVar[TicketState]
    TICKET_STATE_APPROVED: _ClassVar[TicketState]
    TICKET_STATE_REJECTED: _ClassVar[TicketState]
    TICKET_STATE_EXPIRED: _ClassVar[TicketState]
    TICKET_STATE_ENDED: _ClassVar[TicketState]

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_TENANT_SUSPENDED: _ClassVar[Reason]
    REASON_MODEL_NOT_ALLOWED: _ClassVar[Reason]
    REASON_PRICE_UNKNOWN: _ClassVar[Reason]
    REASON_NO_BUDGET_MATCHED: _ClassVar[Reason]
    REASON_CAN_NEVER_FIT: _ClassVar[Reason]
    REASON_RUNAWAY_LOOP: _ClassVar[Reason]
    REASON_RATE_LIMITED: _ClassVar[Reason]
    REASON_CONCURRENCY_LIMITED: _ClassVar[Reason]
    REASON_BUDGET_EXHAUSTED: _ClassVar[Reason]
    REASON_INSUFFICIENT_FUNDS: _ClassVar[Reason]
    REASON_STORE_UNAVAILABLE: _ClassVar[Reason]

class Unit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIT_UNSPECIFIED: _ClassVar[Unit]
    UNIT_NANO_USD: _ClassVar[Unit]
    UNIT_TOKENS: _ClassVar[Unit]
    UNIT_REQUESTS: _ClassVar[Unit]
    UNIT_CONCURRENT: _ClassVar[Unit]

class LotKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOT_KIND_UNSPECIFIED: _ClassVar[LotKind]
    LOT_KIND_GRANT: _ClassVar[LotKind]
    LOT_KIND_EARNED: _ClassVar[LotKind]
    LOT_KIND_PAID: _ClassVar[LotKind]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_COMPLETED: _ClassVar[Outcome]
    OUTCOME_COMPLETED_NO_USAGE: _ClassVar[Outcome]
    OUTCOME_CLIENT_ABORTED: _ClassVar[Outcome]
    OUTCOME_PROVIDER_ERROR_BILLED: _ClassVar[Outcome]
    OUTCOME_PROVIDER_ERROR_UNBILLED: _ClassVar[Outcome]
    OUTCOME_NOT_DISPATCHED: _ClassVar[Outcome]
    OUTCOME_UNKNOWN: _ClassVar[Outcome]
RESULT_UNSPECIFIED: Result
RESULT_ALLOW: Result
RESULT_DENY: Result
RESULT_HOLD: Result
TICKET_STATE_UNSPECIFIED: TicketState
TICKET_STATE_OPEN: TicketState
TICKET_STATE_APPROVED: TicketState
TICKET_STATE_REJECTED: TicketState
TICKET_STATE_EXPIRED: TicketState
TICKET_STATE_ENDED: TicketState
REASON_UNSPECIFIED: Reason
REASON_TENANT_SUSPENDED: Reason
REASON_MODEL_NOT_ALLOWED: Reason
REASON_PRICE_UNKNOWN: Reason
REASON_NO_BUDGET_MATCHED: Reason
REASON_CAN_NEVER_FIT: Reason
REASON_RUNAWAY_LOOP: Reason
REASON_RATE_LIMITED: Reason
REASON_CONCURRENCY_LIMITED: Reason
REASON_BUDGET_EXHAUSTED: Reason
REASON_INSUFFICIENT_FUNDS: Reason
REASON_STORE_UNAVAILABLE: Reason
UNIT_UNSPECIFIED: Unit
UNIT_NANO_USD: Unit
UNIT_TOKENS: Unit
UNIT_REQUESTS: Unit
UNIT_CONCURRENT: Unit
LOT_KIND_UNSPECIFIED: LotKind
LOT_KIND_GRANT: LotKind
LOT_KIND_EARNED: LotKind
LOT_KIND_PAID: LotKind
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_COMPLETED: Outcome
OUTCOME_COMPLETED_NO_USAGE: Outcome
OUTCOME_CLIENT_ABORTED: Outcome
OUTCOME_PROVIDER_ERROR_BILLED: Outcome
OUTCOME_PROVIDER_ERROR_UNBILLED: Outcome
OUTCOME_NOT_DISPATCHED: Outcome
OUTCOME_UNKNOWN: Outcome

class Subject(_message.Message):
    __slots__ = ("org", "team", "user", "service", "repository", "environment", "role", "workflow", "session", "priority", "prompt", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ORG_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    org: str
    team: str
    user: str
    service: str
    repository: str
    environment: str
    role: str
    workflow: str
    session: str
    priority: str
    prompt: str
    labels: _containers.ScalarMap[str, str]
    def __init__(self, org: _Optional[str] = ..., team: _Optional[str] = ..., user: _Optional[str] = ..., service: _Optional[str] = ..., repository: _Optional[str] = ..., environment: _Optional[str] = ..., role: _Optional[str] = ..., workflow: _Optional[str] = ..., session: _Optional[str] = ..., priority: _Optional[str] = ..., prompt: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Cost(_message.Message):
    __slots__ = ("nano_usd", "tokens")
    NANO_USD_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    nano_usd: int
    tokens: int
    def __init__(self, nano_usd: _Optional[int] = ..., tokens: _Optional[int] = ...) -> None: ...

class TokenEstimate(_message.Message):
    __slots__ = ("input", "max_output")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    input: int
    max_output: int
    def __init__(self, input: _Optional[int] = ..., max_output: _Optional[int] = ...) -> None: ...

class ProviderRequest(_message.Message):
    __slots__ = ("api", "body")
    class Api(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        API_UNSPECIFIED: _ClassVar[ProviderRequest.Api]
        API_OPENAI_CHAT: _ClassVar[ProviderRequest.Api]
        API_OPENAI_RESPONSES: _ClassVar[ProviderRequest.Api]
        API_OPENAI_EMBEDDINGS: _ClassVar[ProviderRequest.Api]
        API_ANTHROPIC_MESSAGES: _ClassVar[ProviderRequest.Api]
        API_GEMINI_GENERATE: _ClassVar[ProviderRequest.Api]
        API_BEDROCK_CONVERSE: _ClassVar[ProviderRequest.Api]
    API_UNSPECIFIED: ProviderRequest.Api
    API_OPENAI_CHAT: ProviderRequest.Api
    API_OPENAI_RESPONSES: ProviderRequest.Api
    API_OPENAI_EMBEDDINGS: ProviderRequest.Api
    API_ANTHROPIC_MESSAGES: ProviderRequest.Api
    API_GEMINI_GENERATE: ProviderRequest.Api
    API_BEDROCK_CONVERSE: ProviderRequest.Api
    API_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    api: ProviderRequest.Api
    body: bytes
    def __init__(self, api: _Optional[_Union[ProviderRequest.Api, str]] = ..., body: _Optional[bytes] = ...) -> None: ...

class ReserveRequest(_message.Message):
    __slots__ = ("tenant", "reservation_id", "subject", "model", "provider", "tokens", "cost", "request", "ttl", "justification", "wait")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    JUSTIFICATION_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    reservation_id: str
    subject: Subject
    model: str
    provider: str
    tokens: TokenEstimate
    cost: Cost
    request: ProviderRequest
    ttl: _duration_pb2.Duration
    justification: str
    wait: _duration_pb2.Duration
    def __init__(self, tenant: _Optional[str] = ..., reservation_id: _Optional[str] = ..., subject: _Optional[_Union[Subject, _Mapping]] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., tokens: _Optional[_Union[TokenEstimate, _Mapping]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., request: _Optional[_Union[ProviderRequest, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., justification: _Optional[str] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Ticket(_message.Message):
    __slots__ = ("id", "state", "budget", "group", "unit", "limit", "asked", "shortfall", "model", "subject", "justification", "opened_at", "expires_at", "answered_at", "allowance", "by", "note")
    class SubjectEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    JUSTIFICATION_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_AT_FIELD_NUMBER: _ClassVar[int]
    ALLOWANCE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: TicketState
    budget: str
    group: str
    unit: Unit
    limit: int
    asked: int
    shortfall: int
    model: str
    subject: _containers.ScalarMap[str, str]
    justification: str
    opened_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    answered_at: _timestamp_pb2.Timestamp
    allowance: int
    by: str
    note: str
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[TicketState, str]] = ..., budget: _Optional[str] = ..., group: _Optional[str] = ..., unit: _Optional[_Union[Unit, str]] = ..., limit: _Optional[int] = ..., asked: _Optional[int] = ..., shortfall: _Optional[int] = ..., model: _Optional[str] = ..., subject: _Optional[_Mapping[str, str]] = ..., justification: _Optional[str] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., answered_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., allowance: _Optional[int] = ..., by: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class BudgetState(_message.Message):
    __slots__ = ("name", "group", "unit", "limit", "spent", "held", "remaining", "window_start", "window_end", "threshold_percent", "enforced", "ceiling", "rolling")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    WINDOW_START_FIELD_NUMBER: _ClassVar[int]
    WINDOW_END_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_PERCENT_FIELD_NUMBER: _ClassVar[int]
    ENFORCED_FIELD_NUMBER: _ClassVar[int]
    CEILING_FIELD_NUMBER: _ClassVar[int]
    ROLLING_FIELD_NUMBER: _ClassVar[int]
    name: str
    group: str
    unit: Unit
    limit: int
    spent: int
    held: int
    remaining: int
    window_start: _timestamp_pb2.Timestamp
    window_end: _timestamp_pb2.Timestamp
    threshold_percent: int
    enforced: bool
    ceiling: int
    rolling: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., group: _Optional[str] = ..., unit: _Optional[_Union[Unit, str]] = ..., limit: _Optional[int] = ..., spent: _Optional[int] = ..., held: _Optional[int] = ..., remaining: _Optional[int] = ..., window_start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., window_end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., threshold_percent: _Optional[int] = ..., enforced: _Optional[bool] = ..., ceiling: _Optional[int] = ..., rolling: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Lot(_message.Message):
    __slots__ = ("id", "kind", "remaining", "expires_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: LotKind
    remaining: int
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[LotKind, str]] = ..., remaining: _Optional[int] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Draw(_message.Message):
    __slots__ = ("lot", "kind", "amount")
    LOT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    lot: str
    kind: LotKind
    amount: int
    def __init__(self, lot: _Optional[str] = ..., kind: _Optional[_Union[LotKind, str]] = ..., amount: _Optional[int] = ...) -> None: ...

class WalletState(_message.Message):
    __slots__ = ("name", "group", "unit", "funds", "spent", "held", "available", "lots")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    FUNDS_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    LOTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    group: str
    unit: Unit
    funds: int
    spent: int
    held: int
    available: int
    lots: _containers.RepeatedCompositeFieldContainer[Lot]
    def __init__(self, name: _Optional[str] = ..., group: _Optional[str] = ..., unit: _Optional[_Union[Unit, str]] = ..., funds: _Optional[int] = ..., spent: _Optional[int] = ..., held: _Optional[int] = ..., available: _Optional[int] = ..., lots: _Optional[_Iterable[_Union[Lot, _Mapping]]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("reason", "message", "budget", "wallet", "group", "shortfall", "unit", "retryable", "retry_after", "advice")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    WALLET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SHORTFALL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    reason: Reason
    message: str
    budget: str
    wallet: str
    group: str
    shortfall: int
    unit: Unit
    retryable: bool
    retry_after: _duration_pb2.Duration
    advice: Advice
    def __init__(self, reason: _Optional[_Union[Reason, str]] = ..., message: _Optional[str] = ..., budget: _Optional[str] = ..., wallet: _Optional[str] = ..., group: _Optional[str] = ..., shortfall: _Optional[int] = ..., unit: _Optional[_Union[Unit, str]] = ..., retryable: _Optional[bool] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., advice: _Optional[_Union[Advice, _Mapping]] = ...) -> None: ...

class Advice(_message.Message):
    __slots__ = ("model", "max_output", "at", "more")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    model: str
    max_output: int
    at: _timestamp_pb2.Timestamp
    more: str
    def __init__(self, model: _Optional[str] = ..., max_output: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., more: _Optional[str] = ...) -> None: ...

class Downgrade(_message.Message):
    __slots__ = ("asked_model", "reason", "budget", "wallet", "message")
    ASKED_MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    WALLET_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    asked_model: str
    reason: Reason
    budget: str
    wallet: str
    message: str
    def __init__(self, asked_model: _Optional[str] = ..., reason: _Optional[_Union[Reason, str]] = ..., budget: _Optional[str] = ..., wallet: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ReserveResponse(_message.Message):
    __slots__ = ("result", "reservation_id", "tally", "expires_at", "cost", "wallet", "wallet_group", "model", "price_version", "budgets", "refusal", "downgrade", "store_away", "ticket")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    TALLY_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    WALLET_FIELD_NUMBER: _ClassVar[int]
    WALLET_GROUP_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    DOWNGRADE_FIELD_NUMBER: _ClassVar[int]
    STORE_AWAY_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    result: Result
    reservation_id: str
    tally: bytes
    expires_at: _timestamp_pb2.Timestamp
    cost: Cost
    wallet: str
    wallet_group: str
    model: str
    price_version: str
    budgets: _containers.RepeatedCompositeFieldContainer[BudgetState]
    refusal: Refusal
    downgrade: Downgrade
    store_away: bool
    ticket: Ticket
    def __init__(self, result: _Optional[_Union[Result, str]] = ..., reservation_id: _Optional[str] = ..., tally: _Optional[bytes] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., wallet: _Optional[str] = ..., wallet_group: _Optional[str] = ..., model: _Optional[str] = ..., price_version: _Optional[str] = ..., budgets: _Optional[_Iterable[_Union[BudgetState, _Mapping]]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., downgrade: _Optional[_Union[Downgrade, _Mapping]] = ..., store_away: _Optional[bool] = ..., ticket: _Optional[_Union[Ticket, _Mapping]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_5M_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_1H_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    reasoning: int
    def __init__(self, input: _Optional[int] = ..., cache_read: _Optional[int] = ..., cache_write_5m: _Optional[int] = ..., cache_write_1h: _Optional[int] = ..., output: _Optional[int] = ..., reasoning: _Optional[int] = ...) -> None: ...

class SettleRequest(_message.Message):
    __slots__ = ("tenant", "reservation_id", "tally", "outcome", "usage", "provider_usage", "cost", "estimated")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    TALLY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    reservation_id: str
    tally: bytes
    outcome: Outcome
    usage: Usage
    provider_usage: bytes
    cost: Cost
    estimated: bool
    def __init__(self, tenant: _Optional[str] = ..., reservation_id: _Optional[str] = ..., tally: _Optional[bytes] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., provider_usage: _Optional[bytes] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., estimated: _Optional[bool] = ...) -> None: ...

class SettleResponse(_message.Message):
    __slots__ = ("reservation_id", "charged", "estimated", "late", "wallet", "wallet_group", "wallet_unit", "drawn")
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    CHARGED_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    WALLET_FIELD_NUMBER: _ClassVar[int]
    WALLET_GROUP_FIELD_NUMBER: _ClassVar[int]
    WALLET_UNIT_FIELD_NUMBER: _ClassVar[int]
    DRAWN_FIELD_NUMBER: _ClassVar[int]
    reservation_id: str
    charged: Cost
    estimated: bool
    late: bool
    wallet: str
    wallet_group: str
    wallet_unit: Unit
    drawn: _containers.RepeatedCompositeFieldContainer[Draw]
    def __init__(self, reservation_id: _Optional[str] = ..., charged: _Optional[_Union[Cost, _Mapping]] = ..., estimated: _Optional[bool] = ..., late: _Optional[bool] = ..., wallet: _Optional[str] = ..., wallet_group: _Optional[str] = ..., wallet_unit: _Optional[_Union[Unit, str]] = ..., drawn: _Optional[_Iterable[_Union[Draw, _Mapping]]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("tenant", "reservation_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    reservation_id: str
    def __init__(self, tenant: _Optional[str] = ..., reservation_id: _Optional[str] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("reservation_id", "released")
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    reservation_id: str
    released: Cost
    def __init__(self, reservation_id: _Optional[str] = ..., released: _Optional[_Union[Cost, _Mapping]] = ...) -> None: ...

class ExtendRequest(_message.Message):
    __slots__ = ("tenant", "reservation_id", "tally", "extension_id", "ttl", "more")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    TALLY_FIELD_NUMBER: _ClassVar[int]
    EXTENSION_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    reservation_id: str
    tally: bytes
    extension_id: str
    ttl: _duration_pb2.Duration
    more: Cost
    def __init__(self, tenant: _Optional[str] = ..., reservation_id: _Optional[str] = ..., tally: _Optional[bytes] = ..., extension_id: _Optional[str] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., more: _Optional[_Union[Cost, _Mapping]] = ...) -> None: ...

class ExtendResponse(_message.Message):
    __slots__ = ("result", "reservation_id", "tally", "expires_at", "cost", "refusal")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    TALLY_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    result: Result
    reservation_id: str
    tally: bytes
    expires_at: _timestamp_pb2.Timestamp
    cost: Cost
    refusal: Refusal
    def __init__(self, result: _Optional[_Union[Result, str]] = ..., reservation_id: _Optional[str] = ..., tally: _Optional[bytes] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class ChargeRequest(_message.Message):
    __slots__ = ("tenant", "charge_id", "subject", "model", "provider", "usage", "provider_usage", "cost")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CHARGE_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    charge_id: str
    subject: Subject
    model: str
    provider: str
    usage: Usage
    provider_usage: bytes
    cost: Cost
    def __init__(self, tenant: _Optional[str] = ..., charge_id: _Optional[str] = ..., subject: _Optional[_Union[Subject, _Mapping]] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., provider_usage: _Optional[bytes] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ...) -> None: ...

class ChargeResponse(_message.Message):
    __slots__ = ("charge_id", "charged", "wallet", "wallet_group", "wallet_unit", "drawn")
    CHARGE_ID_FIELD_NUMBER: _ClassVar[int]
    CHARGED_FIELD_NUMBER: _ClassVar[int]
    WALLET_FIELD_NUMBER: _ClassVar[int]
    WALLET_GROUP_FIELD_NUMBER: _ClassVar[int]
    WALLET_UNIT_FIELD_NUMBER: _ClassVar[int]
    DRAWN_FIELD_NUMBER: _ClassVar[int]
    charge_id: str
    charged: Cost
    wallet: str
    wallet_group: str
    wallet_unit: Unit
    drawn: _containers.RepeatedCompositeFieldContainer[Draw]
    def __init__(self, charge_id: _Optional[str] = ..., charged: _Optional[_Union[Cost, _Mapping]] = ..., wallet: _Optional[str] = ..., wallet_group: _Optional[str] = ..., wallet_unit: _Optional[_Union[Unit, str]] = ..., drawn: _Optional[_Iterable[_Union[Draw, _Mapping]]] = ...) -> None: ...

class BalanceRequest(_message.Message):
    __slots__ = ("tenant", "subject", "model", "provider")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    subject: Subject
    model: str
    provider: str
    def __init__(self, tenant: _Optional[str] = ..., subject: _Optional[_Union[Subject, _Mapping]] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ...) -> None: ...

class BalanceResponse(_message.Message):
    __slots__ = ("wallets", "effective_wallet", "budgets", "policy_version", "suspended")
    WALLETS_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_WALLET_FIELD_NUMBER: _ClassVar[int]
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    wallets: _containers.RepeatedCompositeFieldContainer[WalletState]
    effective_wallet: str
    budgets: _containers.RepeatedCompositeFieldContainer[BudgetState]
    policy_version: int
    suspended: bool
    def __init__(self, wallets: _Optional[_Iterable[_Union[WalletState, _Mapping]]] = ..., effective_wallet: _Optional[str] = ..., budgets: _Optional[_Iterable[_Union[BudgetState, _Mapping]]] = ..., policy_version: _Optional[int] = ..., suspended: _Optional[bool] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: ReserveRequest
    def __init__(self, call: _Optional[_Union[ReserveRequest, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("result", "model", "cost", "refusal", "downgrade", "steps", "policy_version")
    class Step(_message.Message):
        __slots__ = ("model", "budget", "wallet", "takes", "fits", "binds")
        MODEL_FIELD_NUMBER: _ClassVar[int]
        BUDGET_FIELD_NUMBER: _ClassVar[int]
        WALLET_FIELD_NUMBER: _ClassVar[int]
        TAKES_FIELD_NUMBER: _ClassVar[int]
        FITS_FIELD_NUMBER: _ClassVar[int]
        BINDS_FIELD_NUMBER: _ClassVar[int]
        model: str
        budget: BudgetState
        wallet: WalletState
        takes: int
        fits: bool
        binds: bool
        def __init__(self, model: _Optional[str] = ..., budget: _Optional[_Union[BudgetState, _Mapping]] = ..., wallet: _Optional[_Union[WalletState, _Mapping]] = ..., takes: _Optional[int] = ..., fits: _Optional[bool] = ..., binds: _Optional[bool] = ...) -> None: ...
    RESULT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    DOWNGRADE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    result: Result
    model: str
    cost: Cost
    refusal: Refusal
    downgrade: Downgrade
    steps: _containers.RepeatedCompositeFieldContainer[ExplainResponse.Step]
    policy_version: int
    def __init__(self, result: _Optional[_Union[Result, str]] = ..., model: _Optional[str] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ..., downgrade: _Optional[_Union[Downgrade, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[ExplainResponse.Step, _Mapping]]] = ..., policy_version: _Optional[int] = ...) -> None: ...

class ItemError(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class ReserveBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[ReserveRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[ReserveRequest, _Mapping]]] = ...) -> None: ...

class ReserveBatchResponse(_message.Message):
    __slots__ = ("items",)
    class Item(_message.Message):
        __slots__ = ("response", "error")
        RESPONSE_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        response: ReserveResponse
        error: ItemError
        def __init__(self, response: _Optional[_Union[ReserveResponse, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ReserveBatchResponse.Item]
    def __init__(self, items: _Optional[_Iterable[_Union[ReserveBatchResponse.Item, _Mapping]]] = ...) -> None: ...

class SettleBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[SettleRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[SettleRequest, _Mapping]]] = ...) -> None: ...

class SettleBatchResponse(_message.Message):
    __slots__ = ("items",)
    class Item(_message.Message):
        __slots__ = ("response", "error")
        RESPONSE_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        response: SettleResponse
        error: ItemError
        def __init__(self, response: _Optional[_Union[SettleResponse, _Mapping]] = ..., error: _Optional[_Union[ItemError, _Mapping]] = ...) -> None: ...
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[SettleBatchResponse.Item]
    def __init__(self, items: _Optional[_Iterable[_Union[SettleBatchResponse.Item, _Mapping]]] = ...) -> None: ...
