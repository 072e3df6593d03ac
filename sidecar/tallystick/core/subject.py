"""Who is spending, as dimensions."""

import re
from functools import lru_cache
from typing import NamedTuple

from tallystick.core.errors import InvalidArgument

DIMENSIONS = (
    "org",
    "team",
    "user",
    "service",
    "repository",
    "environment",
    "role",
    "workflow",
    "session",
    "priority",
    "prompt",
)
"""The fixed dimensions, in the order of the subject's fields."""

CALL_DIMENSIONS = ("model", "provider")
"""What a budget may match on besides the subject: dimensions of the call."""

LABEL_PREFIX = "label."
"""`label.NAME` is the dimension of a free label."""

MAX_VALUE_BYTES = 256
MAX_LABELS = 16
LABEL_NAME = re.compile(r"[a-z0-9_.-]{1,64}")
TENANT = re.compile(r"[a-z0-9_.-]{1,64}")
"""How a tenant may be called."""


class Subject(NamedTuple):
    """The values of the dimensions; empty text where a dimension is not given."""

    org: str = ""
    team: str = ""
    user: str = ""
    service: str = ""
    repository: str = ""
    environment: str = ""
    role: str = ""
    workflow: str = ""
    session: str = ""
    priority: str = ""
    prompt: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    """(name, value), sorted by name."""

    def value(self, dimension: str) -> str:
        """The value of a dimension or of `label.NAME`; empty where not given."""
        if dimension.startswith(LABEL_PREFIX):
            return dict(self.labels).get(dimension[len(LABEL_PREFIX) :], "")
        return str(getattr(self, dimension))


def is_dimension(name: str) -> bool:
    """Whether subjects have a dimension of this name, `label.NAME` included."""
    label = name.removeprefix(LABEL_PREFIX)
    return name in DIMENSIONS or (label != name and LABEL_NAME.fullmatch(label) is not None)


@lru_cache(maxsize=8192)
def subject_text(subject: Subject) -> str:
    """What is given, one `dimension=value` a tab, for the ledger."""
    given = [f"{name}={value}" for name, value in zip(DIMENSIONS, subject, strict=False) if value]
    given += [f"{LABEL_PREFIX}{name}={value}" for name, value in subject.labels]
    return "\t".join(given)


def check_text(field: str, value: str, max_bytes: int = MAX_VALUE_BYTES) -> None:
    """Refuses text that is too long or has control characters.

    Raises:
        InvalidArgument: names `field`.
    """
    if len(value) > max_bytes or len(value.encode()) > max_bytes:
        raise InvalidArgument(field, f"expected at most {max_bytes} bytes, got {len(value)} characters")
    if not value.isprintable():
        raise InvalidArgument(field, "expected printable text without control characters")


def check_subject(subject: Subject) -> None:
    """Refuses values that are too long or have control characters.

    Raises:
        InvalidArgument: names the dimension.
    """
    *values, labels = subject
    for name, value in zip(DIMENSIONS, values, strict=True):
        if value:
            check_text(f"subject.{name}", value)
    if len(labels) > MAX_LABELS:
        raise InvalidArgument("subject.labels", f"expected at most {MAX_LABELS}, got {len(labels)}")
    for name, value in labels:
        if not LABEL_NAME.fullmatch(name):
            raise InvalidArgument("subject.labels", "expected names of 1 to 64 of [a-z0-9_.-]")
        check_text(f"subject.labels[{name}]", value)


def value_in(text: str, dimension: str) -> str:
    """The value of a dimension in a `subject_text`; empty where not given."""
    name = f"{dimension}="
    return next((each[len(name) :] for each in text.split("\t") if each.startswith(name)), "")
