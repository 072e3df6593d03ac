import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tallystick.v1 import budget_pb2 as _budget_pb2
from tallystick.v1 import policy_pb2 as _policy_pb2
from tallystick.v1 import ticket_pb2 as _ticket_pb2
from tallystick.v1 import token_pb2 as _token_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HoldState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOLD_STATE_UNSPECIFIED: _ClassVar[HoldState]
    HOLD_STATE_OPEN: _ClassVar[HoldState]
    HOLD_STATE_EXPIRED: _ClassVar[HoldState]
    HOLD_STATE_ESTIMATED: _ClassVar[HoldState]
    HOLD_STATE_SETTLED: _ClassVar[HoldState]
    HOLD_STATE_RELEASED: _ClassVar[HoldState]

class OnExhausted(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_EXHAUSTED_UNSPECIFIED: _ClassVar[OnExhausted]
    ON_EXHAUSTED_DENY: _ClassVar[OnExhausted]
    ON_EXHAUSTED_ALERT: _ClassVar[OnExhausted]
    ON_EXHAUSTED_DOWNGRADE: _ClassVar[OnExhausted]
    ON_EXHAUSTED_TICKET: _ClassVar[OnExhausted]
HOLD_STATE_UNSPECIFIED: HoldState
HOLD_STATE_OPEN: HoldState
HOLD_STATE_EXPIRED: HoldState
HOLD_STATE_ESTIMATED: HoldState
HOLD_STATE_SETTLED: HoldState
HOLD_STATE_RELEASED: HoldState
ON_EXHAUSTED_UNSPECIFIED: OnExhausted
ON_EXHAUSTED_DENY: OnExhausted
ON_EXHAUSTED_ALERT: OnExhausted
ON_EXHAUSTED_DOWNGRADE: OnExhausted
ON_EXHAUSTED_TICKET: OnExhausted

class SuspendTenantRequest(_message.Message):
    __slots__ = ("tenant", "by", "reason")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    by: str
    reason: str
    def __init__(self, tenant: _Optional[str] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class SuspendTenantResponse(_message.Message):
    __slots__ = ("suspension", "changed")
    SUSPENSION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    suspension: Suspension
    changed: bool
    def __init__(self, suspension: _Optional[_Union[Suspension, _Mapping]] = ..., changed: _Optional[bool] = ...) -> None: ...

class Suspension(_message.Message):
    __slots__ = ("since", "by", "reason")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    since: _timestamp_pb2.Timestamp
    by: str
    reason: str
    def __init__(self, since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ResumeTenantRequest(_message.Message):
    __slots__ = ("tenant", "by", "reason")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    by: str
    reason: str
    def __init__(self, tenant: _Optional[str] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ResumeTenantResponse(_message.Message):
    __slots__ = ("changed",)
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    changed: bool
    def __init__(self, changed: _Optional[bool] = ...) -> None: ...

class GetStoreRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStoreResponse(_message.Message):
    __slots__ = ("durability", "durability_checked", "partitions", "frozen")
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_CHECKED_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    durability: str
    durability_checked: bool
    partitions: int
    frozen: _containers.RepeatedCompositeFieldContainer[FrozenPartition]
    def __init__(self, durability: _Optional[str] = ..., durability_checked: _Optional[bool] = ..., partitions: _Optional[int] = ..., frozen: _Optional[_Iterable[_Union[FrozenPartition, _Mapping]]] = ...) -> None: ...

class FrozenPartition(_message.Message):
    __slots__ = ("partition", "since", "seen", "found")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    partition: int
    since: _timestamp_pb2.Timestamp
    seen: str
    found: str
    def __init__(self, partition: _Optional[int] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seen: _Optional[str] = ..., found: _Optional[str] = ...) -> None: ...

class ThawPartitionRequest(_message.Message):
    __slots__ = ("partition", "by", "reason")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    partition: int
    by: str
    reason: str
    def __init__(self, partition: _Optional[int] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ThawPartitionResponse(_message.Message):
    __slots__ = ("frozen",)
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    frozen: FrozenPartition
    def __init__(self, frozen: _Optional[_Union[FrozenPartition, _Mapping]] = ...) -> None: ...

class ListTenantsRequest(_message.Message):
    __slots__ = ("suspended", "page_size", "page_token")
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    suspended: bool
    page_size: int
    page_token: str
    def __init__(self, suspended: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTenantsResponse(_message.Message):
    __slots__ = ("tenants", "next_page_token")
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenants: _containers.RepeatedCompositeFieldContainer[Tenant]
    next_page_token: str
    def __init__(self, tenants: _Optional[_Iterable[_Union[Tenant, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Tenant(_message.Message):
    __slots__ = ("name", "policy_version", "suspension")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    SUSPENSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    policy_version: int
    suspension: Suspension
    def __init__(self, name: _Optional[str] = ..., policy_version: _Optional[int] = ..., suspension: _Optional[_Union[Suspension, _Mapping]] = ...) -> None: ...

class Hold(_message.Message):
    __slots__ = ("reservation_id", "state", "subject", "model", "held", "charged", "wallet", "wallet_group", "reserved_at", "expires_at")
    class SubjectEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    CHARGED_FIELD_NUMBER: _ClassVar[int]
    WALLET_FIELD_NUMBER: _ClassVar[int]
    WALLET_GROUP_FIELD_NUMBER: _ClassVar[int]
    RESERVED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    reservation_id: str
    state: HoldState
    subject: _containers.ScalarMap[str, str]
    model: str
    held: _budget_pb2.Cost
    charged: _budget_pb2.Cost
    wallet: str
    wallet_group: str
    reserved_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, reservation_id: _Optional[str] = ..., state: _Optional[_Union[HoldState, str]] = ..., subject: _Optional[_Mapping[str, str]] = ..., model: _Optional[str] = ..., held: _Optional[_Union[_budget_pb2.Cost, _Mapping]] = ..., charged: _Optional[_Union[_budget_pb2.Cost, _Mapping]] = ..., wallet: _Optional[str] = ..., wallet_group: _Optional[str] = ..., reserved_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListHoldsRequest(_message.Message):
    __slots__ = ("tenant", "states", "subject", "older_than", "page_size", "page_token")
    class SubjectEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TENANT_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OLDER_THAN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    states: _containers.RepeatedScalarFieldContainer[HoldState]
    subject: _containers.ScalarMap[str, str]
    older_than: _duration_pb2.Duration
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., states: _Optional[_Iterable[_Union[HoldState, str]]] = ..., subject: _Optional[_Mapping[str, str]] = ..., older_than: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListHoldsResponse(_message.Message):
    __slots__ = ("holds", "next_page_token")
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    holds: _containers.RepeatedCompositeFieldContainer[Hold]
    next_page_token: str
    def __init__(self, holds: _Optional[_Iterable[_Union[Hold, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ResolveHoldRequest(_message.Message):
    __slots__ = ("tenant", "reservation_id", "settle", "settle_as_held", "release", "extend", "by", "reason")
    class AsHeld(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class GiveBack(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    TENANT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    SETTLE_AS_HELD_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    reservation_id: str
    settle: _budget_pb2.Cost
    settle_as_held: ResolveHoldRequest.AsHeld
    release: ResolveHoldRequest.GiveBack
    extend: _duration_pb2.Duration
    by: str
    reason: str
    def __init__(self, tenant: _Optional[str] = ..., reservation_id: _Optional[str] = ..., settle: _Optional[_Union[_budget_pb2.Cost, _Mapping]] = ..., settle_as_held: _Optional[_Union[ResolveHoldRequest.AsHeld, _Mapping]] = ..., release: _Optional[_Union[ResolveHoldRequest.GiveBack, _Mapping]] = ..., extend: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ResolveHoldResponse(_message.Message):
    __slots__ = ("hold", "changed")
    HOLD_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    hold: Hold
    changed: bool
    def __init__(self, hold: _Optional[_Union[Hold, _Mapping]] = ..., changed: _Optional[bool] = ...) -> None: ...

class TailLedgerRequest(_message.Message):
    __slots__ = ("tenant", "kinds", "position", "since", "from_now", "follow")
    class FromNow(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    TENANT_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    FROM_NOW_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    kinds: _containers.RepeatedScalarFieldContainer[str]
    position: str
    since: _timestamp_pb2.Timestamp
    from_now: TailLedgerRequest.FromNow
    follow: bool
    def __init__(self, tenant: _Optional[str] = ..., kinds: _Optional[_Iterable[str]] = ..., position: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., from_now: _Optional[_Union[TailLedgerRequest.FromNow, _Mapping]] = ..., follow: _Optional[bool] = ...) -> None: ...

class TailLedgerResponse(_message.Message):
    __slots__ = ("entries", "position")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[LedgerEntry]
    position: str
    def __init__(self, entries: _Optional[_Iterable[_Union[LedgerEntry, _Mapping]]] = ..., position: _Optional[str] = ...) -> None: ...

class LedgerEntry(_message.Message):
    __slots__ = ("partition", "id", "kind", "at", "tenant", "of", "fields")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    OF_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    partition: int
    id: str
    kind: str
    at: _timestamp_pb2.Timestamp
    tenant: str
    of: str
    fields: _containers.ScalarMap[str, str]
    def __init__(self, partition: _Optional[int] = ..., id: _Optional[str] = ..., kind: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tenant: _Optional[str] = ..., of: _Optional[str] = ..., fields: _Optional[_Mapping[str, str]] = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ("tenant", "position", "since")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    position: str
    since: _timestamp_pb2.Timestamp
    def __init__(self, tenant: _Optional[str] = ..., position: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WatchEventsResponse(_message.Message):
    __slots__ = ("events", "position")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    position: str
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., position: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("id", "at", "tenant", "alert", "policy_applied", "tenant_suspended", "tenant_resumed", "funds_granted", "ticket_opened", "ticket_approved", "ticket_rejected", "ticket_ended")
    ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ALERT_FIELD_NUMBER: _ClassVar[int]
    POLICY_APPLIED_FIELD_NUMBER: _ClassVar[int]
    TENANT_SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    TENANT_RESUMED_FIELD_NUMBER: _ClassVar[int]
    FUNDS_GRANTED_FIELD_NUMBER: _ClassVar[int]
    TICKET_OPENED_FIELD_NUMBER: _ClassVar[int]
    TICKET_APPROVED_FIELD_NUMBER: _ClassVar[int]
    TICKET_REJECTED_FIELD_NUMBER: _ClassVar[int]
    TICKET_ENDED_FIELD_NUMBER: _ClassVar[int]
    id: str
    at: _timestamp_pb2.Timestamp
    tenant: str
    alert: Alert
    policy_applied: PolicyApplied
    tenant_suspended: TenantSuspended
    tenant_resumed: TenantResumed
    funds_granted: FundsGranted
    ticket_opened: TicketEvent
    ticket_approved: TicketEvent
    ticket_rejected: TicketEvent
    ticket_ended: TicketEvent
    def __init__(self, id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tenant: _Optional[str] = ..., alert: _Optional[_Union[Alert, _Mapping]] = ..., policy_applied: _Optional[_Union[PolicyApplied, _Mapping]] = ..., tenant_suspended: _Optional[_Union[TenantSuspended, _Mapping]] = ..., tenant_resumed: _Optional[_Union[TenantResumed, _Mapping]] = ..., funds_granted: _Optional[_Union[FundsGranted, _Mapping]] = ..., ticket_opened: _Optional[_Union[TicketEvent, _Mapping]] = ..., ticket_approved: _Optional[_Union[TicketEvent, _Mapping]] = ..., ticket_rejected: _Optional[_Union[TicketEvent, _Mapping]] = ..., ticket_ended: _Optional[_Union[TicketEvent, _Mapping]] = ...) -> None: ...

class TicketEvent(_message.Message):
    __slots__ = ("ticket_id", "budget", "group", "unit", "amount", "expires_at", "by", "note", "justification")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    JUSTIFICATION_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    budget: str
    group: str
    unit: _budget_pb2.Unit
    amount: int
    expires_at: _timestamp_pb2.Timestamp
    by: str
    note: str
    justification: str
    def __init__(self, ticket_id: _Optional[str] = ..., budget: _Optional[str] = ..., group: _Optional[str] = ..., unit: _Optional[_Union[_budget_pb2.Unit, str]] = ..., amount: _Optional[int] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., by: _Optional[str] = ..., note: _Optional[str] = ..., justification: _Optional[str] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("budget", "group", "unit", "percent", "used", "limit", "reservation_id", "window_start", "window_end")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_START_FIELD_NUMBER: _ClassVar[int]
    WINDOW_END_FIELD_NUMBER: _ClassVar[int]
    budget: str
    group: str
    unit: _budget_pb2.Unit
    percent: int
    used: int
    limit: int
    reservation_id: str
    window_start: _timestamp_pb2.Timestamp
    window_end: _timestamp_pb2.Timestamp
    def __init__(self, budget: _Optional[str] = ..., group: _Optional[str] = ..., unit: _Optional[_Union[_budget_pb2.Unit, str]] = ..., percent: _Optional[int] = ..., used: _Optional[int] = ..., limit: _Optional[int] = ..., reservation_id: _Optional[str] = ..., window_start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., window_end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PolicyApplied(_message.Message):
    __slots__ = ("version", "by", "comment", "rolled_back_to")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    ROLLED_BACK_TO_FIELD_NUMBER: _ClassVar[int]
    version: int
    by: str
    comment: str
    rolled_back_to: int
    def __init__(self, version: _Optional[int] = ..., by: _Optional[str] = ..., comment: _Optional[str] = ..., rolled_back_to: _Optional[int] = ...) -> None: ...

class TenantSuspended(_message.Message):
    __slots__ = ("by", "reason")
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    by: str
    reason: str
    def __init__(self, by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class TenantResumed(_message.Message):
    __slots__ = ("by", "reason")
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    by: str
    reason: str
    def __init__(self, by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class FundsGranted(_message.Message):
    __slots__ = ("wallet", "group", "unit", "amount", "lapsed", "expires_at")
    WALLET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    LAPSED_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    wallet: str
    group: str
    unit: _budget_pb2.Unit
    amount: int
    lapsed: int
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, wallet: _Optional[str] = ..., group: _Optional[str] = ..., unit: _Optional[_Union[_budget_pb2.Unit, str]] = ..., amount: _Optional[int] = ..., lapsed: _Optional[int] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ApplyPolicyRequest(_message.Message):
    __slots__ = ("document", "expected_version", "dry_run", "by", "comment", "shadow")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    document: str
    expected_version: int
    dry_run: bool
    by: str
    comment: str
    shadow: bool
    def __init__(self, document: _Optional[str] = ..., expected_version: _Optional[int] = ..., dry_run: _Optional[bool] = ..., by: _Optional[str] = ..., comment: _Optional[str] = ..., shadow: _Optional[bool] = ...) -> None: ...

class ApplyPolicyResponse(_message.Message):
    __slots__ = ("tenant", "version", "changed", "differences", "over", "more_over")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    MORE_OVER_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    version: int
    changed: bool
    differences: _containers.RepeatedCompositeFieldContainer[_policy_pb2.PolicyDifference]
    over: _containers.RepeatedCompositeFieldContainer[_policy_pb2.OverBudget]
    more_over: bool
    def __init__(self, tenant: _Optional[str] = ..., version: _Optional[int] = ..., changed: _Optional[bool] = ..., differences: _Optional[_Iterable[_Union[_policy_pb2.PolicyDifference, _Mapping]]] = ..., over: _Optional[_Iterable[_Union[_policy_pb2.OverBudget, _Mapping]]] = ..., more_over: _Optional[bool] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ("tenant", "version", "shadow")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    version: int
    shadow: bool
    def __init__(self, tenant: _Optional[str] = ..., version: _Optional[int] = ..., shadow: _Optional[bool] = ...) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("document", "version")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    document: str
    version: int
    def __init__(self, document: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class CreditWalletRequest(_message.Message):
    __slots__ = ("tenant", "wallet", "group", "amount", "unit", "credit_id", "reason", "kind", "expires_at")
    class GroupEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WALLET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CREDIT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    wallet: str
    group: _containers.ScalarMap[str, str]
    amount: int
    unit: _budget_pb2.Unit
    credit_id: str
    reason: str
    kind: _budget_pb2.LotKind
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, tenant: _Optional[str] = ..., wallet: _Optional[str] = ..., group: _Optional[_Mapping[str, str]] = ..., amount: _Optional[int] = ..., unit: _Optional[_Union[_budget_pb2.Unit, str]] = ..., credit_id: _Optional[str] = ..., reason: _Optional[str] = ..., kind: _Optional[_Union[_budget_pb2.LotKind, str]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreditWalletResponse(_message.Message):
    __slots__ = ("wallet", "credit_id")
    WALLET_FIELD_NUMBER: _ClassVar[int]
    CREDIT_ID_FIELD_NUMBER: _ClassVar[int]
    wallet: _budget_pb2.WalletState
    credit_id: str
    def __init__(self, wallet: _Optional[_Union[_budget_pb2.WalletState, _Mapping]] = ..., credit_id: _Optional[str] = ...) -> None: ...

class WalletRef(_message.Message):
    __slots__ = ("wallet", "group")
    class GroupEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WALLET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    wallet: str
    group: _containers.ScalarMap[str, str]
    def __init__(self, wallet: _Optional[str] = ..., group: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DebitWalletRequest(_message.Message):
    __slots__ = ("tenant", "wallet", "amount", "unit", "debit_id", "reason")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WALLET_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    DEBIT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    wallet: WalletRef
    amount: int
    unit: _budget_pb2.Unit
    debit_id: str
    reason: str
    def __init__(self, tenant: _Optional[str] = ..., wallet: _Optional[_Union[WalletRef, _Mapping]] = ..., amount: _Optional[int] = ..., unit: _Optional[_Union[_budget_pb2.Unit, str]] = ..., debit_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DebitWalletResponse(_message.Message):
    __slots__ = ("wallet", "debit_id", "drawn")
    WALLET_FIELD_NUMBER: _ClassVar[int]
    DEBIT_ID_FIELD_NUMBER: _ClassVar[int]
    DRAWN_FIELD_NUMBER: _ClassVar[int]
    wallet: _budget_pb2.WalletState
    debit_id: str
    drawn: _containers.RepeatedCompositeFieldContainer[_budget_pb2.Draw]
    def __init__(self, wallet: _Optional[_Union[_budget_pb2.WalletState, _Mapping]] = ..., debit_id: _Optional[str] = ..., drawn: _Optional[_Iterable[_Union[_budget_pb2.Draw, _Mapping]]] = ...) -> None: ...

class AllocateFundsRequest(_message.Message):
    __slots__ = ("tenant", "to", "amount", "unit", "transfer_id", "reason")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    to: WalletRef
    amount: int
    unit: _budget_pb2.Unit
    transfer_id: str
    reason: str
    def __init__(self, tenant: _Optional[str] = ..., to: _Optional[_Union[WalletRef, _Mapping]] = ..., amount: _Optional[int] = ..., unit: _Optional[_Union[_budget_pb2.Unit, str]] = ..., transfer_id: _Optional[str] = ..., reason: _Optional[str] = ..., **kwargs) -> None: ...

class AllocateFundsResponse(_message.Message):
    __slots__ = ("to", "transfer_id")
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    to: _budget_pb2.WalletState
    transfer_id: str
    def __init__(self, to: _Optional[_Union[_budget_pb2.WalletState, _Mapping]] = ..., transfer_id: _Optional[str] = ..., **kwargs) -> None: ...

class ReclaimFundsRequest(_message.Message):
    __slots__ = ("tenant", "to", "amount", "unit", "transfer_id", "reason")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    to: WalletRef
    amount: int
    unit: _budget_pb2.Unit
    transfer_id: str
    reason: str
    def __init__(self, tenant: _Optional[str] = ..., to: _Optional[_Union[WalletRef, _Mapping]] = ..., amount: _Optional[int] = ..., unit: _Optional[_Union[_budget_pb2.Unit, str]] = ..., transfer_id: _Optional[str] = ..., reason: _Optional[str] = ..., **kwargs) -> None: ...

class ReclaimFundsResponse(_message.Message):
    __slots__ = ("to", "transfer_id", "reclaimed")
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_ID_FIELD_NUMBER: _ClassVar[int]
    RECLAIMED_FIELD_NUMBER: _ClassVar[int]
    to: _budget_pb2.WalletState
    transfer_id: str
    reclaimed: int
    def __init__(self, to: _Optional[_Union[_budget_pb2.WalletState, _Mapping]] = ..., transfer_id: _Optional[str] = ..., reclaimed: _Optional[int] = ..., **kwargs) -> None: ...

class ListWalletsRequest(_message.Message):
    __slots__ = ("tenant", "page_size", "page_token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWalletsResponse(_message.Message):
    __slots__ = ("wallets", "next_page_token")
    WALLETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    wallets: _containers.RepeatedCompositeFieldContainer[_budget_pb2.WalletState]
    next_page_token: str
    def __init__(self, wallets: _Optional[_Iterable[_Union[_budget_pb2.WalletState, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListBudgetsRequest(_message.Message):
    __slots__ = ("tenant", "budget", "group", "page_size", "page_token")
    class GroupEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    budget: str
    group: _containers.ScalarMap[str, str]
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., budget: _Optional[str] = ..., group: _Optional[_Mapping[str, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBudgetsResponse(_message.Message):
    __slots__ = ("budgets", "truncated", "next_page_token")
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    budgets: _containers.RepeatedCompositeFieldContainer[ListedBudget]
    truncated: bool
    next_page_token: str
    def __init__(self, budgets: _Optional[_Iterable[_Union[ListedBudget, _Mapping]]] = ..., truncated: _Optional[bool] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListedBudget(_message.Message):
    __slots__ = ("state", "window", "on_exhausted")
    STATE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    ON_EXHAUSTED_FIELD_NUMBER: _ClassVar[int]
    state: _budget_pb2.BudgetState
    window: str
    on_exhausted: OnExhausted
    def __init__(self, state: _Optional[_Union[_budget_pb2.BudgetState, _Mapping]] = ..., window: _Optional[str] = ..., on_exhausted: _Optional[_Union[OnExhausted, str]] = ...) -> None: ...
