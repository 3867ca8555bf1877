"""Models that see whether they are watched, or how they are compiled, are found; others are not."""

import numpy as np
import pytest

import harness
from harness.adapters.protocols import Wide
from harness.parity.compare import Verdict
from harness.parity.floor import Rounding
from harness.parity.judge import Line
from harness.parity.observed import observed, repeated_by
from harness.parity.trace import record
from harness.tolerance import Tolerance

X = {"x": np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)}


class Seen:
    """Doubles its input; puts out something else without a tap, or compiled, or from run to run."""

    def __init__(self, plain=0.0, compiled=None, drawn=0.0):
        self.plain, self.compiled, self.drawn, self.runs = plain, compiled, drawn, 0

    def run(self, inputs, *, tap=None):
        self.runs += 1
        made = 2 * inputs["x"] + self.drawn * self.runs
        if tap is not None:
            tap("double", made)
            return {"y": made}
        return {"y": made + self.plain}

    def run_wide(self, inputs, *, state=None):
        return Wide({"y": 2 * inputs["x"].astype(np.float64)})

    def run_compiled(self, inputs):
        if isinstance(self.compiled, Exception):
            raise self.compiled
        return {"y": 2 * inputs["x"] + (self.compiled or 0.0)}

    def describe(self):
        return "Seen"


def looked_at(reference, port, *, floor=None):
    from dataclasses import replace

    from harness.parity.compare import compare

    traces = [record(side, X) for side in (reference, port)]
    pair = compare(*(trace.outputs["y"] for trace in traces), tolerance=Tolerance(), name="y")
    if floor is not None:
        pair = replace(pair, rounding=Rounding(0.0, 4.0, floor, explained=True, by="float64"))
    return observed((reference, port), X, traces, [pair], tolerance=Tolerance(), masks={})


def test_a_model_that_is_the_same_either_way():
    assert looked_at(Seen(), Seen()) == harness.parity.observed.Observed()


@pytest.mark.parametrize(
    ("wrong", "how"), [({"plain": 0.5}, "without taps"), ({"compiled": 0.5}, "compiled as a whole")]
)
def test_one_that_is_outside_the_contract_without_taps_diverges(wrong, how):
    found = looked_at(Seen(), Seen(**wrong))
    reason = f"the port puts out something else {how}, y moves by 0.5; then y is off by 0.5 where 0.001 is allowed"
    assert found.lines == (Line("forward", how, Verdict.DIVERGE, reason, compared=1),)
    assert found.notes == ()


def test_the_reference_may_be_the_one():
    assert "the reference puts out something else without taps" in looked_at(Seen(plain=0.5), Seen()).lines[0].reason


def test_one_that_keeps_the_contract_without_taps_is_a_note():
    found = looked_at(Seen(), Seen(plain=5e-4))
    assert found.lines == ()
    assert found.notes == (
        "the port puts out something else without taps, y moves by 0.0005; it keeps the contract then as well",
    )


def test_both_may_be_another_in_the_same_way():
    found = looked_at(Seen(plain=0.5), Seen(plain=0.5))
    assert found.lines == ()
    assert len(found.notes) == 2


def test_rounding_of_a_compiler_is_no_effect():
    assert looked_at(Seen(), Seen(compiled=2e-5)).notes == ()
    assert looked_at(Seen(), Seen(compiled=9e-4), floor=1e-4).notes == ()
    assert looked_at(Seen(), Seen(compiled=9e-4), floor=1e-5).notes != ()
    # A run that is not compiled in another way has no such excuse.
    assert looked_at(Seen(), Seen(plain=9e-4), floor=1e-4).notes != ()


def test_random_numbers_are_no_effect_of_taps():
    found = looked_at(Seen(), Seen(drawn=0.1))
    assert [(line.probe, line.verdict) for line in found.lines] == [("the same twice", Verdict.INCONCLUSIVE)]
    assert found.lines[0].reason == "two runs of the port differ by 0.1 in y: it draws random numbers"


def test_nan_without_taps_is_an_effect():
    found = looked_at(Seen(), Seen(plain=np.nan))
    assert [line.verdict for line in found.lines] == [Verdict.DIVERGE]


def test_a_model_that_cannot_be_compiled_is_said_to_be_so():
    found = looked_at(Seen(), Seen(compiled=TypeError("a bool was asked of a tracer\nand more")))
    assert found.refusal == "the port raised TypeError: a bool was asked of a tracer"
    assert found.lines == found.notes == ()


def test_one_side_alone():
    side = Seen(plain=0.5)
    lines = repeated_by(side, X, record(side, X), "port")
    assert [line.reason for line in lines] == ["the port puts out something else without taps, y moves by 0.5"]
    assert [line.verdict for line in lines] == [Verdict.INCONCLUSIVE]
    side = Seen()
    assert repeated_by(side, X, record(side, X), "port") == []


def test_a_chain_of_layers_that_sees_its_tap_makes_the_verdict():
    from harness.adapters.toy.layers import Layers

    class Watched(Layers):
        def __call__(self, x, *, tap=None, **_further):
            return super().__call__(x + (0 if tap else 0.5), tap=tap)

    def net(kind):
        return kind({"double": lambda x: 2 * x})

    assert harness.check(net(Layers), net(Layers), X).verdict is Verdict.AGREE
    found = harness.check(net(Layers), net(Watched), X, checks=["forward"])
    assert found.verdict is Verdict.DIVERGE
    assert "forward     without taps: the port puts out something else without taps" in str(found)
