"""Say how a script builds a torch module and calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from harness.adapters.code import UNSET, Code, arguments, attribute, chosen, place_of
from harness.adapters.protocols import STORED, Array, Recipe, State, UnsupportedError
from harness.adapters.pytorch.taps import view

CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList)
TENSOR = "torch.from_numpy(LEAF)"


def recipe(
    model: torch.nn.Module, path: str, given: Mapping[str, Any], *, output: str, state: State = STORED
) -> Recipe:
    """The submodule at `path`, built alone, or taken out of the smallest module around it that can be built."""
    code = Code()
    module = model.get_submodule(path)
    built = _built(code, model, path)
    weights = _weights(model, path, state)
    missing = set(module.state_dict()) - set(weights)
    strict = ", strict=False" if missing else ""
    load = [f"module.load_state_dict({{name: {_of('array')} for name, array in weights.items()}}{strict})"]
    called = f"module.eval()({arguments(given, type(module).forward, TENSOR)})"
    after = chosen(output)
    fetch = f"return result{after}.numpy()" if after else "return first(result).numpy()"

    def text(double: list[str]) -> str:
        lines = [*built, *double, *(load if weights else [])]
        lines += ["with torch.no_grad():", f"    result = {called}", fetch]
        return "def NAME(weights, inputs):\n" + "".join(f"    {line}\n" for line in lines)

    return Recipe(
        imports=("import torch", *code.imports),
        folders=tuple(code.folders),
        text=text([]),
        text64=text(["module.double()"]),
        double=("torch.set_default_dtype(torch.float64)",),
        weights=weights,
        called=type(module).__name__,
        where=place_of(type(module)),
    )


def _of(name: str) -> str:
    return TENSOR.replace("LEAF", name)


def _built(code: Code, model: torch.nn.Module, path: str) -> list[str]:
    """Lines that leave the submodule in `module`."""
    reasons: dict[str, None] = {}
    around, inside = path, ""
    while True:
        trial = Code(dict(code.imports), dict(code.folders))
        try:
            whole = model.get_submodule(around)
            made = _constructed(trial, whole, around, _configuration(model, around))
            changed = _changed(trial, whole, made, inside)
            code.imports, code.folders = trial.imports, trial.folders
            return [f"module = {made}" + (f".get_submodule({inside!r})" if inside else ""), *changed]
        except UnsupportedError as error:
            reasons[str(error)] = None
        if not around:
            raise UnsupportedError("; ".join(reasons))
        around, _, last = around.rpartition(".")
        inside = f"{last}.{inside}" if inside else last


def _configuration(model: torch.nn.Module, path: str) -> Any:
    """The configuration of the nearest module around: those of transformers hand theirs on, and may not keep it."""
    while path and not hasattr(model.get_submodule(path), "config"):
        path = path.rpartition(".")[0]
    return getattr(model.get_submodule(path), "config", UNSET)


def _constructed(code: Code, module: torch.nn.Module, path: str, config: Any = UNSET) -> str:
    """The module as an expression that makes it. config: what it was made with, if it does not say."""
    cls = type(module)
    if cls in CONTAINERS:
        inside = ", ".join(_constructed(code, each, f"{path}.{name}", config) for name, each in module.named_children())
        return f"torch.nn.Sequential({inside})" if cls is torch.nn.Sequential else f"torch.nn.ModuleList([{inside}])"
    builtin = cls.__module__.startswith("torch.nn.")

    def value_of(name: str) -> Any:
        if name == "bias" and builtin:
            held = "in_proj_bias" if isinstance(module, torch.nn.MultiheadAttention) else name
            return getattr(module, held) is not None
        value = attribute(module, name, path)
        return config if name == "config" and value is UNSET else value

    def expression(value: Any) -> str:
        return _constructed(code, value, path) if isinstance(value, torch.nn.Module) else code.expression(value)

    made = code.constructed(cls, value_of, expression, NOT_ARGUMENTS if builtin else ())
    if not builtin:
        return made
    del code.imports[f"from {cls.__module__} import {cls.__name__}"]
    return f"torch.nn.{made}"


NOT_ARGUMENTS = ("device", "dtype", "_weight", "_freeze")
"""Of torch's own modules: where their weights are, and what is in them."""


def _changed(code: Code, module: torch.nn.Module, made: str, inside: str) -> list[str]:
    """Assignments for what has been set on the module, or put into it, after it was made; those under `inside`."""
    space: dict[str, Any] = {"torch": torch}
    exec("\n".join(code.imports), space)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            fresh = eval(made, space)
    except Exception as error:
        raise UnsupportedError(f"{made[:60]} raised {type(error).__name__}: {str(error)[:80]}") from error
    lines: list[str] = []
    replaced: list[str] = []
    for name, own in module.get_submodule(inside).named_modules():
        if any(name.startswith(f"{each}.") for each in replaced):
            continue
        at = "module" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split(".") if part)
        whole = f"{inside}.{name}".strip(".")
        if "forward" in vars(own):
            raise UnsupportedError(f"the forward of {type(own).__name__} was replaced on the object itself")
        try:
            there = fresh.get_submodule(whole)
        except AttributeError:
            there = None
        if type(there) is not type(own):
            if not name:
                raise UnsupportedError(f"{made[:60]} has another {type(own).__name__}")
            lines.append(f"{at} = {_constructed(code, own, whole)}")
            replaced.append(name)
            continue
        for key, value in vars(own).items():
            held = vars(there).get(key, value)
            if isinstance(value, (bool, int, float, str)) and key != "training" and value != held:
                lines.append(f"{at}.{key} = {value!r}")
    return lines


def _weights(model: torch.nn.Module, path: str, state: State) -> dict[str, Array]:
    """What the submodule holds, by its own names."""
    first = {id(each): name for name, each in (*model.named_parameters(), *model.named_buffers())}
    module = model.get_submodule(path)
    stored = module.state_dict()
    found: dict[str, Array] = {}
    for name, tensor in (*module.named_parameters(remove_duplicate=False), *module.named_buffers()):
        if tensor.is_floating_point() and name in stored:
            held = state.values.get(first[id(tensor)])
            found[name] = view(tensor) if held is None else held
    return found
