import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tallystick.v1 import budget_pb2 as _budget_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DifferenceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIFFERENCE_KIND_UNSPECIFIED: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_TIGHTER: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_LOOSER: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_NEW: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_GONE: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_CHANGED: _ClassVar[DifferenceKind]

class ShadowVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHADOW_VERDICT_UNSPECIFIED: _ClassVar[ShadowVerdict]
    SHADOW_VERDICT_WOULD_DENY: _ClassVar[ShadowVerdict]
    SHADOW_VERDICT_WOULD_ALLOW: _ClassVar[ShadowVerdict]
    SHADOW_VERDICT_OTHER_MODEL: _ClassVar[ShadowVerdict]
    SHADOW_VERDICT_OTHER_REASON: _ClassVar[ShadowVerdict]
DIFFERENCE_KIND_UNSPECIFIED: DifferenceKind
DIFFERENCE_KIND_TIGHTER: DifferenceKind
DIFFERENCE_KIND_LOOSER: DifferenceKind
DIFFERENCE_KIND_NEW: DifferenceKind
DIFFERENCE_KIND_GONE: DifferenceKind
DIFFERENCE_KIND_CHANGED: DifferenceKind
SHADOW_VERDICT_UNSPECIFIED: ShadowVerdict
SHADOW_VERDICT_WOULD_DENY: ShadowVerdict
SHADOW_VERDICT_WOULD_ALLOW: ShadowVerdict
SHADOW_VERDICT_OTHER_MODEL: ShadowVerdict
SHADOW_VERDICT_OTHER_REASON: ShadowVerdict

class PolicyDifference(_message.Message):
    __slots__ = ("kind", "path", "text")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    kind: DifferenceKind
    path: str
    text: str
    def __init__(self, kind: _Optional[_Union[DifferenceKind, str]] = ..., path: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class OverBudget(_message.Message):
    __slots__ = ("budget", "group", "unit", "spent", "held", "limit")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    budget: str
    group: str
    unit: _budget_pb2.Unit
    spent: int
    held: int
    limit: int
    def __init__(self, budget: _Optional[str] = ..., group: _Optional[str] = ..., unit: _Optional[_Union[_budget_pb2.Unit, str]] = ..., spent: _Optional[int] = ..., held: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class GetPolicyHistoryRequest(_message.Message):
    __slots__ = ("tenant", "page_size", "page_token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetPolicyHistoryResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[PolicyVersion]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[PolicyVersion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PolicyVersion(_message.Message):
    __slots__ = ("version", "at", "by", "comment", "rolled_back_to")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    ROLLED_BACK_TO_FIELD_NUMBER: _ClassVar[int]
    version: int
    at: _timestamp_pb2.Timestamp
    by: str
    comment: str
    rolled_back_to: int
    def __init__(self, version: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., by: _Optional[str] = ..., comment: _Optional[str] = ..., rolled_back_to: _Optional[int] = ...) -> None: ...

class RollbackPolicyRequest(_message.Message):
    __slots__ = ("tenant", "to_version", "expected_version", "by", "comment")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    to_version: int
    expected_version: int
    by: str
    comment: str
    def __init__(self, tenant: _Optional[str] = ..., to_version: _Optional[int] = ..., expected_version: _Optional[int] = ..., by: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class RollbackPolicyResponse(_message.Message):
    __slots__ = ("version", "rolled_back_to", "changed")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLLED_BACK_TO_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    version: int
    rolled_back_to: int
    changed: bool
    def __init__(self, version: _Optional[int] = ..., rolled_back_to: _Optional[int] = ..., changed: _Optional[bool] = ...) -> None: ...

class ClearShadowRequest(_message.Message):
    __slots__ = ("tenant", "by", "comment")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    by: str
    comment: str
    def __init__(self, tenant: _Optional[str] = ..., by: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class ClearShadowResponse(_message.Message):
    __slots__ = ("changed",)
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    changed: bool
    def __init__(self, changed: _Optional[bool] = ...) -> None: ...

class ListShadowDifferencesRequest(_message.Message):
    __slots__ = ("tenant", "page_size", "page_token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListShadowDifferencesResponse(_message.Message):
    __slots__ = ("version", "decided", "counts", "differences", "next_page_token")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    version: int
    decided: int
    counts: _containers.RepeatedCompositeFieldContainer[ShadowCount]
    differences: _containers.RepeatedCompositeFieldContainer[ShadowDifference]
    next_page_token: str
    def __init__(self, version: _Optional[int] = ..., decided: _Optional[int] = ..., counts: _Optional[_Iterable[_Union[ShadowCount, _Mapping]]] = ..., differences: _Optional[_Iterable[_Union[ShadowDifference, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ShadowCount(_message.Message):
    __slots__ = ("verdict", "reason", "budget", "count")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    verdict: ShadowVerdict
    reason: _budget_pb2.Reason
    budget: str
    count: int
    def __init__(self, verdict: _Optional[_Union[ShadowVerdict, str]] = ..., reason: _Optional[_Union[_budget_pb2.Reason, str]] = ..., budget: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class ShadowSide(_message.Message):
    __slots__ = ("allowed", "model", "reason", "budget")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    model: str
    reason: _budget_pb2.Reason
    budget: str
    def __init__(self, allowed: _Optional[bool] = ..., model: _Optional[str] = ..., reason: _Optional[_Union[_budget_pb2.Reason, str]] = ..., budget: _Optional[str] = ...) -> None: ...

class ShadowDifference(_message.Message):
    __slots__ = ("at", "reservation_id", "subject", "verdict", "live", "shadow", "cost")
    AT_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    reservation_id: str
    subject: str
    verdict: ShadowVerdict
    live: ShadowSide
    shadow: ShadowSide
    cost: _budget_pb2.Cost
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reservation_id: _Optional[str] = ..., subject: _Optional[str] = ..., verdict: _Optional[_Union[ShadowVerdict, str]] = ..., live: _Optional[_Union[ShadowSide, _Mapping]] = ..., shadow: _Optional[_Union[ShadowSide, _Mapping]] = ..., cost: _Optional[_Union[_budget_pb2.Cost, _Mapping]] = ...) -> None: ...
