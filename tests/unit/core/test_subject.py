"""Who is spending: values, their text, and what is refused."""

import pytest

from tallystick.core.errors import InvalidArgument, InvalidPolicy
from tallystick.core.subject import DIMENSIONS, Subject, check_subject, check_text, subject_text, value_in

LABELLED = Subject(org="o", user="ann b", prompt="p", labels=(("cost-centre", "7"), ("x", "")))


def test_values_by_name() -> None:
    assert [LABELLED.value(name) for name in DIMENSIONS] == ["o", "", "ann b", *[""] * 7, "p"]
    assert LABELLED.value("label.cost-centre") == "7"
    assert LABELLED.value("label.none") == ""
    assert Subject._fields == (*DIMENSIONS, "labels")


def test_the_text_tells_what_is_given() -> None:
    assert subject_text(LABELLED) == "org=o\tuser=ann b\tprompt=p\tlabel.cost-centre=7\tlabel.x="
    assert subject_text(Subject()) == ""


@pytest.mark.parametrize(
    "subject",
    [
        LABELLED,
        Subject(user="ü" * 128),
        Subject(labels=tuple((f"l{n}", "v") for n in range(16))),
        Subject(labels=(("a" * 64, "v" * 256), ("0_.-", "v"))),
    ],
)
def test_sound_subjects(subject: Subject) -> None:
    check_subject(subject)


@pytest.mark.parametrize(
    ("subject", "field"),
    [
        (Subject(user="a\tb"), "subject.user"),
        (Subject(team="a\nb"), "subject.team"),
        (Subject(org="\x00"), "subject.org"),
        (Subject(session="s" * 257), "subject.session"),
        (Subject(user="ü" * 129), "subject.user"),
        (Subject(labels=tuple((f"l{n}", "v") for n in range(17))), "subject.labels"),
        (Subject(labels=(("", "v"),)), "subject.labels"),
        (Subject(labels=(("a" * 65, "v"),)), "subject.labels"),
        (Subject(labels=(("a:b", "v"),)), "subject.labels"),
        (Subject(labels=(("Ünd", "v"),)), "subject.labels"),
        (Subject(labels=(("a", "v\n"),)), "subject.labels[a]"),
    ],
)
def test_what_is_refused_names_its_field(subject: Subject, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_subject(subject)
    assert refused.value.field == field


def test_text_has_a_longest() -> None:
    check_text("f", "abc", 3)
    with pytest.raises(InvalidArgument, match="f: expected at most 3 bytes, got 4 characters"):
        check_text("f", "abcd", 3)


def test_errors_of_a_policy_tell_where() -> None:
    assert str(InvalidPolicy("budgets.d", "expected a limit", 3, 5)) == (
        "line 3, column 5: budgets.d: expected a limit"
    )
    assert str(InvalidPolicy("budgets.d", "expected a limit")) == "budgets.d: expected a limit"


def test_a_value_is_found_in_the_text() -> None:
    subject = Subject(org="workflow=no", workflow="nightly=1", labels=(("workflow", "label"),))
    assert value_in(subject_text(subject), "workflow") == "nightly=1"
    assert value_in(subject_text(subject._replace(workflow="")), "workflow") == ""
    assert value_in("", "workflow") == ""
