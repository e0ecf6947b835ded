"""Records behave like frozen dataclasses."""

from __future__ import annotations

import copy
import pickle

import pytest

from phalanx.dialects.records import record


@record
class Place:
    """Where."""

    file: str
    line: int = 1
    tags: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return f"{self.file}:{self.line}"


@record
class Empty:
    """Nothing."""


@record
class Shouting:
    name: str

    def __repr__(self) -> str:
        return self.name.upper()


def test_values_by_position_and_name():
    assert vars(Place("a", 2, ("x",))) == {"file": "a", "line": 2, "tags": ("x",)}
    assert vars(Place("a", tags=("x",))) == {"file": "a", "line": 1, "tags": ("x",)}
    assert Place(line=3, file="a").text == "a:3"
    assert vars(Empty()) == {}


@pytest.mark.parametrize(("values", "named"), [
    ((), {}), (("a", 1, (), 2), {}), (("a",), {"file": "b"}), (("a",), {"row": 1})])
def test_wrong_values_are_refused(values, named):
    with pytest.raises(TypeError, match="Place"):
        Place(*values, **named)


def test_they_compare_hash_and_print_by_value():
    assert Place("a", 2) == Place("a", 2)
    assert Place("a", 2) != Place("a", 3)
    assert Place("a") != "a"
    assert Empty() == Empty()
    assert Empty() != Place("a")
    assert len({Place("a"), Place("a", 1), Place("b")}) == 2
    assert repr(Place("a", 2)) == "Place(file='a', line=2, tags=())"
    assert repr(Shouting("a")) == "A"


def test_they_do_not_change():
    place = Place("a")
    with pytest.raises(AttributeError, match="cannot be changed"):
        place.line = 2
    with pytest.raises(AttributeError, match="cannot be changed"):
        del place.line
    assert place.line == 1


def test_they_are_copied_pickled_and_matched():
    place = Place("a", 2, ("x",))
    assert copy.deepcopy(place) == place
    assert pickle.loads(pickle.dumps(place)) == place
    match place:
        case Place(file, line):
            assert (file, line) == ("a", 2)
