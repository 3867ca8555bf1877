"""Whether the module at fault is named first, and its cause proved, of planted faults, one each and two at once.

`pytest suites/power/test_places.py --run-slow -s` prints the figures that stand in docs/diagnosis.md.
"""

import pytest

pytestmark = pytest.mark.slow

ARCHITECTURES = ("encoder", "decoder", "learned-decoder", "encoder-decoder", "vision", "cnn", "audio")


@pytest.fixture(scope="module")
def rows():
    return []


@pytest.fixture
def locate():
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    from fixtures.power import locate

    return locate


@pytest.mark.parametrize("framework", ["torch", "flax"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_right_module_comes_first(locate, rows, architecture, framework):
    found = list(locate.measure_places(architecture, framework))
    rows += found
    wrong = [f"{row.name}: {row.named[:2]}" for row in found if not row.right]
    print(f"\n{architecture}, {framework}: {len(found) - len(wrong)} of {len(found)} right; wrong: {wrong or 'none'}")
    assert found


def test_figures(locate, rows):
    if not rows:
        pytest.skip("the figures need the tests before it: run the whole file")
    pairs = list(locate.measure_pairs())
    print("\n" + locate.figures(rows, pairs))
    for row in rows:
        print(f"{row.architecture}, {row.framework}, {row.name}: {row.causes[0] if row.causes else 'no cause proved'}")
    known = [row for row in rows if row.known]
    assert sum(row.right for row in rows) >= 0.95 * len(rows)
    assert sum(row.right for row in pairs) >= 0.9 * len(pairs)
    assert sum(row.true for row in known) >= 0.8 * len(known)
    assert [row.name for row in rows if row.causes and not row.true] == []
