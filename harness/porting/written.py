"""The files of a new port, as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.porting.given import Given
from harness.porting.patterns import Line

LOADERS = {
    "PyTorch": """
    import torch
    {imports}

    model = {call}
    held = dict([*model.named_parameters(), *model.named_buffers()])
    with torch.no_grad():
        for name, array in converted.items():
            held[name].copy_(torch.tensor(array))
    return model
""",
    "Flax NNX": """
    import jax.numpy as jnp
    from flax import nnx
    {imports}

    model = {call}
    flat = []
    for path, leaf in nnx.to_flat_state(nnx.state(model)):
        array = converted.get(".".join(map(str, path)))
        flat.append((path, leaf if array is None else leaf.replace(jnp.asarray(array, leaf.get_value().dtype))))
    nnx.update(model, nnx.from_flat_state(flat))
    return model
""",
    "Flax linen": """
    import jax.numpy as jnp
    from flax.traverse_util import flatten_dict, unflatten_dict
    {imports}

    module, variables = {call}
    flat = {{}}
    for path, value in flatten_dict(variables).items():
        # A name is the path without its collection (params, batch_stats).
        name = ".".join(path[1:] if "params" in variables else path)
        flat[path] = jnp.asarray(converted.get(name, value), value.dtype)
    return module, unflatten_dict(flat)
""",
    "Flax": """
    import jax.numpy as jnp
    from flax.traverse_util import flatten_dict, unflatten_dict
    {imports}

    model = {call}
    flat = {{}}
    for path, value in flatten_dict(model.params).items():
        name = ".".join(path[1:] if "params" in model.params else path)
        flat[path] = jnp.asarray(converted.get(name, value), value.dtype)
    model.params = unflatten_dict(flat)
    return model
""",
}
"""How a model of each framework is given other weights: the body of a function."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a case's file says. rules: whether it has a conversion. left: taps of either side that no line speaks of."""

    name: str
    title: str
    reference: str
    port: str
    inputs: str
    rules: bool
    mapping: Sequence[Line] = ()
    axes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    left: tuple[Sequence[Line], Sequence[Line]] = ((), ())


def case_text(said: Said) -> str:
    """The case's file."""
    lines = [f"title = {_quoted(said.title)}"]
    if said.rules:
        lines.append(f"conversion = {_quoted(said.name)}")
    for part, factory in (("reference", said.reference), ("port", said.port), ("inputs", said.inputs)):
        lines += ["", f"[{part}]", f"factory = {_quoted(factory)}"]
    if said.mapping:
        lines += ["", "[mapping]"]
        lines += [f"{_quoted(each.sources[0])} = {_quoted(each.targets[0])}  # {_how(each)}" for each in said.mapping]
    else:
        lines += ["", "# Names of the reference that the port calls otherwise: pattern = target.", "[mapping]"]
    if said.axes:
        lines += ["", "# The order of the reference's axes in the port: equal values show it.", "[axes]"]
        lines += [f"{_quoted(name)} = {list(order)}" for name, order in said.axes.items()]
    for side, names in zip(("reference", "port"), said.left, strict=True):
        if names:
            lines += [
                "",
                f"# What the {side} alone has: map it above, or say here why that is right, and remove the #.",
            ]
            lines += [
                f"[unmatched.{side}]",
                *(f"# {_quoted(each.sources[0])} = {_quoted('')}  # {each.why}" for each in names),
            ]
    return "\n".join(lines) + "\n"


def conversion_text(title: str, rules: Sequence[Line], left: tuple[Iterable[str], Iterable[str]]) -> str:
    """The file of rules. left: weights of either side, with their shapes, for which there is none."""
    lines = [f"title = {_quoted(title)}"]
    for rule in rules:
        order, axis = rule.kind
        lines += ["", f"[[rule]]  # {_how(rule)}"]
        lines += [f"source = {_names(rule.sources)}", f"target = {_names(rule.targets)}"]
        if len(rule.sources) + len(rule.targets) > 2:
            lines.append(f"axis = {axis}")
        if order:
            lines.append(f"order = {list(order)}")
    for side, names in zip(("reference", "port"), left, strict=True):
        held = list(names)
        if held:
            word = "source" if side == "reference" else "target"
            lines += [
                "",
                f"# No guess: weights of the {side} that nothing of the other side fits. Write a rule for each;",
            ]
            lines += [f"# or one with a {word} alone, and a reason."]
            lines += [f"# {word} = {each}" for each in held]
    return "\n".join(lines) + "\n"


def module_text(
    title: str, *, given: Mapping[str, Given], factory: str, framework: str, rules: str, made_of_reference: bool = False
) -> str:
    """The module with what is not the user's own: inputs, if they were guessed, and a port with converted weights.

    factory: of the port, `module:function`; "" if it is given its weights by itself. rules: the file of the conversion.
    made_of_reference: whether that factory is given the reference.
    """
    text = (
        f'"""{title}: what the case is made of."""\n\nimport numpy as np\n' if given else f'"""{title}: its port."""\n'
    )
    if given:
        text += "\n\ndef inputs():\n"
        text += '    """What both sides are called with. Guessed: put in what the model is made for."""\n'
        if any(not each.mask for each in given.values()):
            text += "    generator = np.random.default_rng(0)\n"
        rows = [f"        # {each.why}\n        {json.dumps(name)}: {each.text}," for name, each in given.items()]
        text += "    return {\n" + "\n".join(rows) + "\n    }\n"
    if factory:
        module, _, function = factory.partition(":")
        call = f"{function}({'reference' if made_of_reference else ''})"
        body = LOADERS[framework].format(imports=f"from {module} import {function}", call=call)
        taken = "reference, converted" if made_of_reference else "converted"
        text += f'\n\ndef port({taken}):\n    """The port with the weights that {rules} makes of the reference\'s."""'
        text += body
    return text


def test_text(name: str) -> str:
    """The test that runs the case, for pytest."""
    function = name.replace("-", "_")
    return f'import pytest\n\n\n@pytest.mark.case("{name}")\ndef test_{function}(case, parity):\n    parity(case)\n'


def _how(line: Line) -> str:
    return f"{'certain' if line.certain else 'guessed'}: {line.why}"


def _names(names: Sequence[str]) -> str:
    return _quoted(names[0]) if len(names) == 1 else f"[{', '.join(map(_quoted, names))}]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
