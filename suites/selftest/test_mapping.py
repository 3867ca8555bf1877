"""Names are mapped by the stated patterns, never by a guess; what is left over is listed."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cases.mapping import translate, translate_all
from harness.errors import MappingError
from harness.parity.align import align

NAMES = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=4), min_size=1, max_size=4).map(".".join)


@pytest.mark.parametrize(
    ("name", "mapping", "expected"),
    [
        ("encoder.layer.3.attn.bias", {"encoder.layer.*.attn.**": "layers.*.attention.**"}, "layers.3.attention.bias"),
        ("dense_0.kernel", {"dense_*.kernel": "dense.*.weight"}, "dense.0.weight"),
        ("a.b.c", {"a.*": "x.*"}, "a.b.c"),
        ("a.b.c", {"a.**": "x.**"}, "x.b.c"),
        ("a+b", {"a+b": "c"}, "c"),
        ("aab", {"a+b": "c"}, "aab"),
        ("a.b", {"a.b": "first", "a.*": "*"}, "first"),
    ],
)
def test_translate(name, mapping, expected):
    assert translate(name, mapping) == expected


@given(NAMES)
def test_no_mapping_changes_nothing_and_everything_maps_to_itself(name):
    assert translate(name, {}) == translate(name, {"**": "**"}) == name


def test_a_loose_mapping_that_drops_a_bias_is_refused():
    with pytest.raises(MappingError, match=r"'dense.weight' and 'dense.bias' both become 'kernel'. Make the patterns"):
        translate_all(["dense.weight", "dense.bias"], {"dense.weight": "kernel", "dense.bias": "kernel"}, place="toy")


def test_idle_patterns_and_uneven_stars_are_refused():
    with pytest.raises(MappingError, match="pattern 'dence' matches no name"):
        translate_all(["dense"], {"dence": "x"}, place="toy")
    with pytest.raises(MappingError, match=r"Give both the same stars"):
        translate_all(["a.b"], {"a.*": "x"}, place="toy")


def shapes(*names, shape=(2,)):
    return dict.fromkeys(names, shape)


def test_what_is_left_over_on_either_side_is_listed():
    found = align(shapes("a", "b", "c"), shapes("a", "c", "d"))
    assert found.pairs == (("a", "a"), ("c", "c"))
    assert found.unmatched == ("reference: b", "port: d")
    assert found.coverage == pytest.approx(4 / 6)


def test_other_shapes_are_no_pair():
    found = align(shapes("a") | shapes("b", shape=(3, 4)), shapes("a") | shapes("b", shape=(4, 3)))
    assert found.unmatched == ("reference: b", "port: b")


def test_an_excuse_needs_a_name_that_is_left_over():
    found = align(shapes("a", "act"), shapes("a"), excuse_reference={"act": "a function in the port"})
    assert found.unmatched == ()
    assert found.excused == {"reference: act": "a function in the port"}
    with pytest.raises(MappingError, match="unmatched.reference names 'a', but no such name is left over"):
        align(shapes("a"), shapes("a"), excuse_reference={"a": "because"})


@given(st.lists(NAMES, unique=True), st.lists(NAMES, unique=True))
def test_every_name_is_paired_or_listed_once(reference, port):
    found = align(shapes(*reference), shapes(*port))
    paired = [name for pair in found.pairs for name in pair]
    assert sorted([*paired, *found.only_reference, *found.only_port]) == sorted([*reference, *port])
