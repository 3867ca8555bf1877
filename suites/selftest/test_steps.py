"""What becomes of the whole port's error when causes are mended one after the other."""

import numpy as np
import pytest

import harness
from harness.adapters.toy.layers import Layers
from suites.selftest.test_localise import INPUTS, net

WRONG = {
    "double": lambda x: 2 * x + 1,
    "shift": lambda x: 1.01 * (x + 1),
    "square": lambda x: np.clip(np.square(x), 0, 6),
    "halve": lambda x: x / 2 + 3,
}


def checked(*names, **others):
    return harness.check(net(), net(**{name: WRONG[name] for name in names}, **others), INPUTS, checks=["forward"])


def error(*names):
    """How far a port is off that has these faults and no others."""
    x = INPUTS["x"].astype(np.float64)
    ours, theirs = net()(x)["output"], net(**{name: WRONG[name] for name in names})(x)["output"]
    return np.abs(ours - theirs).max()


def test_the_error_falls_to_rounding_when_all_is_mended():
    steps = checked("shift", "square").diagnosis.steps
    assert [(step.mended, step.paths, step.rounding) for step in steps] == [
        ("", (), False),
        ("clipped", ("square",), False),
        ("scale", ("shift",), True),
    ]
    np.testing.assert_allclose([step.error for step in steps[:2]], [error("shift", "square"), error("shift")])
    assert steps[-1].error <= 1e-12 * steps[-1].scale


def test_a_fault_between_two_of_one_cause_stays_until_it_is_mended_itself():
    steps = checked("double", "shift", "halve").diagnosis.steps
    assert [step.paths for step in steps] == [(), ("double", "halve"), ("shift",)]
    # The last layer's own output would hide the fault before it: it must be computed from what the port hands it.
    np.testing.assert_allclose(steps[1].error, error("shift"))
    assert steps[2].rounding


def test_a_fault_that_nobody_named_still_shows_when_the_last_module_is_mended(monkeypatch):
    import harness.parity.diagnose as diagnose

    def overlooks(run, view, faulty, causes, blames, **options):
        return steps_of(run, view, [each for each in faulty if each.path != "double"], causes, blames, **options)

    steps_of = diagnose.steps
    monkeypatch.setattr(diagnose, "steps", overlooks)
    last = checked("double", "shift", "halve").diagnosis.steps[-1]
    assert not last.rounding
    np.testing.assert_allclose(last.error, error("double"))


def test_modules_whose_cause_is_not_proved_are_mended_as_well():
    odd = checked("shift", halve=lambda x: x / 2 + np.sin(9 * x)).diagnosis
    assert [cause.path for cause in odd.causes] == ["shift"]
    assert [step.mended for step in odd.steps] == ["", "layer, cause not proved", "scale"]
    assert odd.steps[-1].rounding


def test_one_cause_alone_needs_no_steps():
    assert checked("shift").diagnosis.steps == ()


def test_none_is_proved_and_none_are_mended():
    assert checked(halve=lambda x: x / 2 + np.sin(9 * x)).diagnosis.steps == ()


def test_the_text_shows_each_step():
    text = str(checked("shift", "square"))
    lines = [line[14:] for line in text.splitlines()]
    start = next(number for number, line in enumerate(text.splitlines()) if line.startswith("  mended"))
    assert lines[start].startswith("nothing: the outputs are off by 9")
    assert lines[start + 1].startswith("clipped in square: off by 0.")
    assert lines[start + 2] == "and scale in shift: off by 0, which is rounding"
    assert max(map(len, text.splitlines())) <= 80


def test_they_are_part_of_the_record():
    steps = checked("shift", "square").to_dict()["diagnosis"]["steps"]
    assert [sorted(step) for step in steps] == [["error", "mended", "paths", "rounding", "scale"]] * 3


def test_steps_that_fail_leave_the_diagnosis(monkeypatch):
    import harness.parity.diagnose as diagnose

    def broken(*_arguments, **_keywords):
        raise RuntimeError("out of order")

    monkeypatch.setattr(diagnose, "steps", broken)
    found = checked("shift", "square")
    assert [each.path for each in found.faulty] == ["shift", "square"]
    assert found.diagnosis.steps == ()


@pytest.mark.parametrize(("rounds", "paths"), [(2, ["acebd"]), (3, ["ace", "bd"])])
def test_what_does_not_settle_is_mended_with_the_next(monkeypatch, rounds, paths):
    import harness.parity.diagnose as diagnose

    def chain(offset, factor):
        return Layers({n: lambda x, n=n: x * factor if n in "bd" else x / 2 + offset for n in "abcde"})

    monkeypatch.setattr(diagnose, "ROUNDS", rounds)
    steps = harness.check(chain(0, 1), chain(1, 1.01), INPUTS, checks=["forward"]).diagnosis.steps
    assert ["".join(step.paths) for step in steps[1:]] == paths
    assert steps[-1].rounding
    x = INPUTS["x"].astype(np.float64)
    only_scaled = np.abs(chain(0, 1)(x)["output"] - chain(0, 1.01)(x)["output"]).max()
    assert rounds == 2 or steps[1].error == pytest.approx(only_scaled)


def test_what_the_step_before_shows_is_not_run_again():
    found = []

    def counted(x):
        found.append(x)
        return 1.001 * x / 2

    harness.check(net(), net(halve=counted), INPUTS, checks=["forward"])
    alone = len(found)
    found.clear()
    harness.check(net(), net(double=WRONG["double"], halve=counted), INPUTS, checks=["forward"])
    assert len(found) - alone == 2  # one run of the port for each cause
