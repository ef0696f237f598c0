"""Answers that are shared: what never changes is copied by nobody, and each form of it is made once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from workflows.local.messages import Fixed, Growing, Overlaid, copied, fixed, form, in_milliseconds

MOMENT = datetime(2026, 1, 5, tzinfo=UTC)


def test_a_fixed_copy_shares_nothing_with_what_it_was_made_of() -> None:
    request: dict[str, Any] = {"Tags": [{"Key": "a"}], "Environment": {"x": "1"}}
    kept = fixed(request)
    request["Tags"][0]["Key"] = "b"
    request["Environment"]["x"] = "2"
    assert kept == {"Tags": [{"Key": "a"}], "Environment": {"x": "1"}}
    assert isinstance(kept["Tags"][0], Fixed)


def test_a_copy_shares_only_what_never_changes() -> None:
    answer: dict[str, Any] = {
        "fixed": Fixed({"a": 1}),
        "changing": {"b": 2},
        "list": [Fixed({"c": 3}), {"d": 4}],
    }
    copy = copied(answer)
    assert copy == answer
    assert copy["fixed"] is answer["fixed"]
    assert copy["list"][0] is answer["list"][0]
    assert copy["changing"] is not answer["changing"]
    assert copy["list"][1] is not answer["list"][1]


def test_a_form_is_made_once_for_what_never_changes_and_each_time_for_what_may() -> None:
    asked = []

    def keys(value: Any) -> list[str]:
        asked.append(value)
        return sorted(value)

    for value in (Fixed({"a": 1}), {"b": 2}):
        assert form(value, keys) == form(value, keys)
    assert asked == [{"a": 1}, {"b": 2}, {"b": 2}]


def test_moments_are_milliseconds_however_deep_they_stand() -> None:
    answer = {"at": MOMENT, "in": Fixed({"at": MOMENT}), "list": [Fixed({"at": MOMENT}), MOMENT, 1, None]}
    millis = 1767571200000
    assert in_milliseconds(answer) == {
        "at": millis,
        "in": {"at": millis},
        "list": [{"at": millis}, millis, 1, None],
    }
    assert in_milliseconds(answer)["in"] is in_milliseconds(answer)["in"]


def test_what_was_made_of_the_earlier_items_of_a_growing_list_is_kept() -> None:
    # given a list of which a form was made
    asked: list[str] = []

    def upper(value: str) -> str:
        asked.append(value)
        return value.upper()

    growing = Growing(["a", "b"])
    first = growing.as_it_is()
    assert first.form(upper) == ["A", "B"]
    # when its last item becomes another, and two more follow
    growing[-1] = "b2"
    second = growing.as_it_is()
    growing += ["c", "d"]
    asked.clear()
    # then what it was stays as it was, and only what is new, and each last item, is looked at again
    assert growing.as_it_is().form(upper) == ["A", "B2", "C", "D"]
    assert asked == ["b2", "c", "d"]
    assert first.form(upper) == ["A", "B"]
    assert (list(first), list(second)) == (["a", "b"], ["a", "b2"])


def test_an_overlaid_object_is_its_ground_with_other_values_in_every_form() -> None:
    # given an object of which a form was made
    asked: list[list[str]] = []

    def names(value: dict[str, Any]) -> dict[str, Any]:
        asked.append(list(value))
        return {key: str(item) for key, item in value.items()}

    ground = Fixed({"a": MOMENT, "b": 1, "c": MOMENT})
    assert ground.form(names)["b"] == "1"
    asked.clear()
    # when two of its members have other values
    whole = Overlaid(ground, {"c": MOMENT, "b": 2})
    # then it has all members in their order, and only those two are looked at again
    assert list(whole.items()) == [("a", MOMENT), ("b", 2), ("c", MOMENT)]
    made = whole.over_ground(names, names)
    assert list(made.items()) == [("a", str(MOMENT)), ("b", "2"), ("c", str(MOMENT))]
    assert asked == [["c", "b"]]
    assert list(in_milliseconds(whole).items()) == list(in_milliseconds(dict(whole)).items())
    assert ground["b"] == 1
