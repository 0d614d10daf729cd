"""What changed between two runs, in words."""

from hypothesis import given
from hypothesis import strategies as st

from rlgen.files import canonical_json, write_json
from rlgen.jobs.differences import changed, code_changed, differences, modules, packages_changed

BEFORE = {
    "cfg": {"recipe": {"k": 8, "name": "batchtopk"}, "seeds": [0, 1]},
    "packages": {"torch": "2.12.0"},
    "code": "aa",
    "inputs": {"a.txt": "0", "b.txt": "1"},
}
LEAVES = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.sampled_from(["", "a", "ä"])
KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


def test_each_kind_of_difference_has_its_words(tmp_path):
    after = {
        "cfg": {"recipe": {"k": 16, "name": "batchtopk"}, "seeds": [0, 1, 2]},
        "packages": {"numpy": "2.4.6", "torch": "2.13.0"},
        "code": "aa",
        "inputs": {"a.txt": "0", "b.txt": "2"},
    }
    assert differences(BEFORE, BEFORE | {"cfg": after["cfg"]}, tmp_path) == [
        "recipe.k was 8, is 16",
        "seeds was [0, 1], is [0, 1, 2]",
    ]
    assert packages_changed(BEFORE["packages"], after["packages"]) == [
        "numpy was not used, is 2.4.6",
        "torch was 2.12.0, is 2.13.0",
    ]
    assert differences(BEFORE, BEFORE | {"inputs": after["inputs"]}, tmp_path) == ["b.txt has other content"]
    assert differences(BEFORE, after, tmp_path)[4:] == ["and 1 more"]
    long = differences(BEFORE, BEFORE | {"cfg": BEFORE["cfg"] | {"seeds": list(range(99))}}, tmp_path)
    assert long[0].endswith("...") and len(long[0]) < 90


def test_edited_modules_are_named_where_their_digests_were_noted(tmp_path):
    after = BEFORE | {"code": "bb"}
    assert differences(BEFORE, after, tmp_path) == ["the code was edited"]
    write_json(tmp_path / "manifests/code/aa.json", {"rlgen.a": "1", "rlgen.old": "1", "script": "1"})
    write_json(tmp_path / "manifests/code/bb.json", {"rlgen.a": "2", "rlgen.new": "1", "script": "1"})
    assert differences(BEFORE, after, tmp_path) == [
        "rlgen.a was edited",
        "rlgen.new is new",
        "rlgen.old is no longer used",
    ]
    assert code_changed("aa", modules(tmp_path, "aa"), tmp_path) == ["the way that code is tracked changed"]
    for broken in ("[]", "{"):
        (tmp_path / "manifests/code/bb.json").write_text(broken)
        assert differences(BEFORE, after, tmp_path) == ["the code was edited"]


def test_two_runs_that_differ_in_nothing_named_are_still_said_to_differ(tmp_path):
    assert differences(BEFORE, BEFORE, tmp_path) == ["its script, environment or locked versions changed"]


def test_null_and_nothing_and_one_and_one_point_nothing_differ():
    assert list(changed({"a": None}, {})) == [("a", None, None)]
    assert list(changed({"a": {"b": 1}}, {"a": {"b": 1.0}})) == [("a.b", 1, 1.0)]
    assert list(changed({"a": True}, {"a": 1})) == [("a", True, 1)]
    assert list(changed(1, 2)) == [("", 1, 2)]


@given(VALUES, VALUES)
def test_something_is_named_exactly_where_the_canonical_texts_differ(before, after):
    found, back = list(changed(before, after)), list(changed(after, before))
    assert bool(found) == (canonical_json(before) != canonical_json(after))
    assert back == [(field, new, old) for field, old, new in found]
    assert list(changed(before, before)) == []


@given(st.dictionaries(KEYS, VALUES, max_size=3), st.dictionaries(KEYS, VALUES, max_size=3))
def test_what_is_named_is_where_they_differ(before, after):
    def at(value, field):
        for key in field.split("."):
            value = value.get(key)
        return value

    for field, old, new in changed(before, after):
        assert canonical_json(at(before, field)) == canonical_json(old)
        assert canonical_json(at(after, field)) == canonical_json(new)
