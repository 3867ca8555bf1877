"""How many planted faults the check finds, and that it lets correct ports pass.

`pytest suites/power --run-slow -s` prints the figures that stand in docs/verdict.md; it takes long.
"""

import pytest

pytestmark = pytest.mark.slow

ARCHITECTURES = ("encoder", "decoder", "learned-decoder", "encoder-decoder", "vision", "cnn", "audio")
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def rows():
    return []


@pytest.fixture
def measure():
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    from fixtures.power import measure

    return measure


@pytest.mark.parametrize("framework", ["torch", "flax"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_faults_are_found(measure, rows, architecture, framework):
    found = list(measure.measure_faults(architecture, framework))
    rows += found
    missed = [f"{row.kind}: {row.name}" for row in found if not row.found and row.name not in measure.CONVENTIONS]
    print(
        f"\n{architecture}, {framework}: {len(found) - len(missed)} of {len(found)} found; missed: {missed or 'none'}"
    )
    assert found
    assert len(missed) <= 0.1 * len(found)


@pytest.mark.parametrize("framework", ["torch", "flax"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_correct_ports_pass(measure, rows, architecture, framework):
    found = list(measure.measure_correct(architecture, framework, SEEDS))
    rows += found
    assert found
    assert [(row.name, row.reason) for row in found if row.found] == []


def test_figures(measure, rows):
    faulty = [row for row in rows if row.kind and row.name not in measure.CONVENTIONS]
    correct = [row for row in rows if not row.kind]
    if not (faulty and correct):
        pytest.skip("the figures need the tests before it: run the whole file")
    print("\n" + measure.figures(rows))
    assert len(faulty) >= 120
    assert len(correct) >= 200
    assert sum(row.found for row in faulty) >= 0.98 * len(faulty)
    assert not any(row.found for row in correct)
