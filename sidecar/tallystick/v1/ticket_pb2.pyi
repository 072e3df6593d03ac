import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tallystick.v1 import budget_pb2 as _budget_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListTicketsRequest(_message.Message):
    __slots__ = ("tenant", "states", "budget", "page_size", "page_token")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    states: _containers.RepeatedScalarFieldContainer[_budget_pb2.TicketState]
    budget: str
    page_size: int
    page_token: str
    def __init__(self, tenant: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_budget_pb2.TicketState, str]]] = ..., budget: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTicketsResponse(_message.Message):
    __slots__ = ("tickets", "next_page_token")
    TICKETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tickets: _containers.RepeatedCompositeFieldContainer[_budget_pb2.Ticket]
    next_page_token: str
    def __init__(self, tickets: _Optional[_Iterable[_Union[_budget_pb2.Ticket, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetTicketRequest(_message.Message):
    __slots__ = ("tenant", "ticket_id", "wait")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    ticket_id: str
    wait: _duration_pb2.Duration
    def __init__(self, tenant: _Optional[str] = ..., ticket_id: _Optional[str] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetTicketResponse(_message.Message):
    __slots__ = ("ticket",)
    TICKET_FIELD_NUMBER: _ClassVar[int]
    ticket: _budget_pb2.Ticket
    def __init__(self, ticket: _Optional[_Union[_budget_pb2.Ticket, _Mapping]] = ...) -> None: ...

class TicketCredit(_message.Message):
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

class ApproveTicketRequest(_message.Message):
    __slots__ = ("tenant", "ticket_id", "amount", "unit", "expires_at", "credit", "by", "note")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    ticket_id: str
    amount: int
    unit: _budget_pb2.Unit
    expires_at: _timestamp_pb2.Timestamp
    credit: TicketCredit
    by: str
    note: str
    def __init__(self, tenant: _Optional[str] = ..., ticket_id: _Optional[str] = ..., amount: _Optional[int] = ..., unit: _Optional[_Union[_budget_pb2.Unit, str]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., credit: _Optional[_Union[TicketCredit, _Mapping]] = ..., by: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class ApproveTicketResponse(_message.Message):
    __slots__ = ("ticket", "changed")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    ticket: _budget_pb2.Ticket
    changed: bool
    def __init__(self, ticket: _Optional[_Union[_budget_pb2.Ticket, _Mapping]] = ..., changed: _Optional[bool] = ...) -> None: ...

class RejectTicketRequest(_message.Message):
    __slots__ = ("tenant", "ticket_id", "by", "reason")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    ticket_id: str
    by: str
    reason: str
    def __init__(self, tenant: _Optional[str] = ..., ticket_id: _Optional[str] = ..., by: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RejectTicketResponse(_message.Message):
    __slots__ = ("ticket", "changed")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    ticket: _budget_pb2.Ticket
    changed: bool
    def __init__(self, ticket: _Optional[_Union[_budget_pb2.Ticket, _Mapping]] = ..., changed: _Optional[bool] = ...) -> None: ...
