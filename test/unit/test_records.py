"""Records behave like frozen dataclasses."""

from __future__ import annotations

import copy
import pickle

import pytest

from phalanx.dialects.records import OWN_METHODS_AFTER, field, record, replace


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


@record(frozen=False)
class Notes:
    """What may change has no hash."""

    name: str
    lines: list[str] = field(default_factory=list)


@record(frozen=False, eq=False, repr=False)
class Book(Notes):
    """Fields of the base come first."""

    pages: int = 0


@pytest.mark.parametrize("count", [1, OWN_METHODS_AFTER + 2])
def test_methods_of_its_own_behave_as_the_shared_ones(count):
    @record
    class Point:
        x: int
        y: int = 0
        z: list[int] = field(default_factory=list)

        def __hash__(self):
            return self.x

    for _ in range(count):
        point = Point(1, y=2)
    assert (point, point.z, hash(point)) == (Point(y=2, x=1), [], 1)
    assert point.z is not Point(1).z
    assert point != Point(1)
    assert replace(point, x=3) == Point(3, 2)
    for values, named in (((), {}), ((1, 2, [], 3), {}), ((1,), {"x": 1}), ((1,), {"w": 1})):
        with pytest.raises(TypeError, match="Point"):
            Point(*values, **named)
    with pytest.raises(AttributeError, match="cannot be changed"):
        point.x = 3


@pytest.mark.parametrize("count", [1, OWN_METHODS_AFTER + 2])
def test_records_that_change(count):
    for _ in range(count):
        notes, book = Notes("a"), Book("b", pages=3)
    notes.lines.append("x")
    assert notes == Notes("a", ["x"])
    assert notes != Notes("a")
    assert repr(notes) == "Notes(name='a', lines=['x'])"
    with pytest.raises(TypeError, match="unhashable"):
        hash(notes)
    book.pages += 1
    assert (book.name, book.lines, book.pages) == ("b", [], 4)
    assert replace(book, name="c").pages == 4
