"""Which module is at fault by what both sides recorded: calls made by hand, each with a planted fault."""

import numpy as np
import pytest

from harness.adapters.protocols import Call, UnsupportedError
from harness.parity.recorded import judge_recorded

X = np.linspace(1, 2, 12).reshape(3, 4)


def calls(**changed):
    """A model with two blocks of two layers; changed: `name` -> factor on its output, `name_x` on its input."""
    found = {}

    def call(name, caller, given):
        given = given * changed.get(f"{name}_x", 1.0)
        output = (given + 1) * changed.get(name, 1.0)
        found[name] = Call(name.replace("_", "."), caller.replace("_", "."), "Layer", {"x": given}, {"": output})
        return output

    x = X
    for block in ("a", "b"):
        start = x
        for layer in ("up", "down"):
            x = call(f"{block}_{layer}", block, x)
        found[block] = Call(block, "", "Block", {"x": start}, {"": x * changed.get(block, 1.0)})
        x = found[block].outputs[""]
    found[""] = Call("", "", "Net", {"x": X}, {"": x})
    return {call.name: call for call in found.values()}


def judged(**changed):
    return judge_recorded(calls(), calls(**changed), mapping={}, masks={})


def said(found):
    return [(each.path, each.how) for each in found.diagnosis.faulty]


OWN = "its inputs agree and its output does not"


def test_nothing_where_all_agrees():
    found = judged()
    assert said(found) == []
    assert found.diagnosis.why_not == "no module that was given the same on both sides puts out something else"
    assert (len(found.diagnosis.modules), found.not_judged) == (6, 0)


def test_the_layer_and_not_those_around_it_or_after_it():
    found = judged(a_down=1.1)
    assert said(found) == [("a.down", OWN)]
    assert [row.path for row in found.diagnosis.modules] == ["a.up", "a.down"]
    assert found.not_judged == 4  # the block around it, and the next block with its layers


def test_what_a_block_hands_on_and_what_it_does_at_its_end():
    assert said(judged(a_down_x=1.1)) == [("a", "hands a.down a wrong x")]
    assert said(judged(a=1.1)) == [("a", OWN)]
    fault = judged(a_down_x=1.1).diagnosis.faulty[0]
    np.testing.assert_allclose((fault.error, fault.scale), (0.3, 3.0))
    assert fault.shape == (3, 4)


def test_the_model_itself():
    assert said(judged(b_up_x=1.1)) == [("b", "hands b.up a wrong x")]
    one, other = calls(), calls()
    other[""] = Call("", "", "Net", {"x": X}, {"": other[""].outputs[""] + 1})
    assert said(judge_recorded(one, other, mapping={}, masks={})) == [("", OWN)]


def test_a_small_error_is_named_with_its_other_explanation_and_not_beside_a_large_one():
    small = judged(a_up=1 + 1e-7)
    assert said(small) == [("a.up", f"{OWN}, by no more than rounding of its weights may do")]
    assert said(judged(a_up=1 + 1e-7, a_down=1.1)) == [("a.down", OWN)]


def test_an_error_that_a_module_may_only_have_passed_on_is_not_its_own():
    assert said(judged(a_up=1 + 1e-7, a_down=1 + 1e-5)) == [
        ("a.up", f"{OWN}, by no more than rounding of its weights may do")
    ]


def test_names_that_do_not_correspond_need_a_mapping():
    port = {f"z{name}" if name else "": call for name, call in calls().items()}
    port = {n: Call(n, f"z{c.caller}" if c.caller else "", c.kind, c.inputs, c.outputs) for n, c in port.items()}
    with pytest.raises(UnsupportedError, match="no module of the port corresponds to one of the reference"):
        judge_recorded(calls(), port, mapping={}, masks={})
    assert judge_recorded(calls(), port, mapping={"**": "z**"}, masks={}).not_judged == 0


def test_a_module_that_the_port_has_not_got_is_blamed_for_what_it_made():
    """The reference applies an activation as a module; the port does it in the block, and wrongly."""
    one, other = calls(), calls(a_down_x=1.1)
    made = {"": one["a.down"].inputs["x"]}
    act = Call("a.act", "a", "Tanh", {"x": one["a.up"].outputs[""] + 3}, made)
    shifted = {"a.up": one["a.up"], "a.act": act, **{name: call for name, call in one.items() if name != "a.up"}}
    other["a.up"] = Call("a.up", "a", "Layer", one["a.up"].inputs, one["a.up"].outputs)
    assert said(judge_recorded(shifted, other, mapping={}, masks={})) == [("a.act", "its output is wrong")]
