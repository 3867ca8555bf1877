"""A script that saves a model and loads it with nothing but the library, and shows what went wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping

from harness.adapters.protocols import UnsupportedError
from harness.equivalence.family import Family, Head
from harness.equivalence.templates import DRAWN, SAID
from harness.equivalence.trips import base_of
from harness.equivalence.ways import (
    APART,
    AS_HALF,
    BEFORE,
    BELOW,
    BESIDE,
    HALF,
    IGNORED,
    MISSING,
    NO_INDEX,
    NO_SHARD,
    OVER,
    PUSHED,
    REFUSED,
    STRAY,
    STRAYS,
    TAMPERED,
    TO_BASE,
    TO_HEAD,
    TOLD,
    Trip,
)

MADE = """
def made(kind, seed):
    generator = np.random.default_rng(seed)

    def fill(each):
        return drawn(tuple(each.shape), generator) if each.ndim else np.asarray(each)

    if not issubclass(kind, torch.nn.Module):
        model = kind(configSHAPE)
        model.params = jax.tree.map(fill, model.params)
        return model
    model = kind(config).eval()
    for each in model.parameters():
        if each.requires_grad:
            each.data.copy_(torch.from_numpy(fill(each.data)))
    return model


def weights(model):
    if isinstance(model, torch.nn.Module):
        held = model.state_dict().items()
        return {name: each.float().numpy() for name, each in held if each.is_floating_point() and not each.is_meta}
    held = flatten_dict(model.params, sep=".").items()
    return {re.sub("^(params|batch_stats)[.]", "", name): np.asarray(each, "float32") for name, each in held}


config = CONFIG
folder = tempfile.mkdtemp()
model = made(GIVER, 0)
"""

CHANGED = {
    "safetensors": """
file = folder + "/model.safetensors"
held = load_file(file)
CHANGE
save_file(held, file, {"format": "FORMAT"})
""",
    "msgpack": """
file = folder + "/flax_model.msgpack"
held = flatten_dict(msgpack_restore(Path(file).read_bytes()), sep=".")
CHANGE
Path(file).write_bytes(msgpack_serialize(unflatten_dict(held, sep=".")))
""",
}

CHOSEN = """matrices = sorted(name for name, array in held.items() if array.ndim > 1)
chosen = matrices[len(matrices) // 2]
"""

HEARD = """
said = []
listener = logging.Handler()
listener.emit = lambda record: said.append(record.getMessage())
logging.getLogger("transformers").addHandler(listener)
found = error = None
try:
    found = LOADED
except Exception as raised:
    error = raised
print("raised       ", repr(error))
"""

NAMED = """
def named(name):
    stem = name.rpartition(".")[0]
    stems = (stem, stem.partition(".")[2] or stem)
    return any(each in text or repr(tuple(each.split(".")))[1:-1].rstrip(",") in text for each in stems)


places = list(weights(made(PLACES, 1)))


def due(name):
    return any(f".{place}".endswith(f".{name}") or f".{name}".endswith(f".{place}") for place in places)

"""

ARRIVED = """
def bits(array):
    # In order of size: a weight that is transposed on the way has the same.
    return np.sort(array, axis=None).tobytes()


text = " ".join(said)
given, loaded = weights(model), weights(found)
there, known = ({bits(array) for array in each.values()} for each in (loaded, given))
"""

FAULTS = {
    "raised": """
fault = error is not None
""",
    "refused": """
print("it should name", AMISS)
fault = error is None or AMISS not in str(error)
""",
    "nothing": """
empty = [name for name, tensor in found.named_parameters() if tensor.is_meta]
print("hold no numbers:", len(empty), empty[:2])
fault = bool(empty)
""",
    "types": """
kinds = {str(each.dtype) for each in found.parameters()}
print("types        ", kinds)
fault = kinds != {"torch.bfloat16"}
""",
    "written": """
files = sorted(path.name for path in Path(folder).iterdir())
print("written      ", files)
fault = not any(name.endswith("ENDING") for name in files)
""",
    "lost": f"""{NAMED}{ARRIVED}
lost = [name for name, array in given.items() if bits(array) not in there and (due(name) or not named(name))]
random = [name for name, array in loaded.items() if bits(array) not in known and not named(name)]
print("do not arrive, though they have a place, or no message names them:", len(lost), lost[:2])
print("are not from the file, and no message names them:", len(random), random[:2])
fault = bool(lost or random)
""",
    "told": f"""{ARRIVED}
wrong = [name for name, array in loaded.items() if bits(array) in known and f"'{{name}}'" in text]
print("said to be missing, and there:", wrong)
fault = bool(wrong)
""",
}
"""What is wrong -> how a script finds it."""


def written(family: Family, head: Head, trip: Trip, reason: str, *, config: str, shape: str) -> tuple[str, list[str]]:
    """The text of a script for the trip, without imports, and the classes that it needs.

    reason: of the claim that failed. config, shape: as in a script.

    Raises:
        UnsupportedError: it goes by way of the Hub.
    """
    if trip.how == PUSHED:
        raise UnsupportedError("by way of the Hub, which a script has not")
    base = base_of(family) or head
    giver, taker = (base if trip.how == TO_HEAD else head), (base if trip.how == TO_BASE else head)
    other = "flax" if trip.saved == "pytorch" else "pytorch"
    names = {
        "GIVER": _name(giver, trip.saved),
        "TAKER": _name(taker, trip.loaded),
        "BESIDE": _name(giver, other),
        "PLACES": _name(taker, trip.saved),
    }
    fault = fault_of(trip, reason)
    text = "".join([DRAWN, MADE, _saved(trip), _changed(trip), *([] if fault == "written" else [_loaded(trip, shape)])])
    text += FAULTS[fault]
    amiss = "chosen.split('.')[-2]" if trip.how not in (NO_SHARD, NO_INDEX) else '"-of-"'
    words = names | {"CONFIG": config, "SHAPE": shape, "AMISS": amiss, "ENDING": trip.form.split()[-1]}
    return _filled(text, words) + SAID, sorted({name for key, name in names.items() if key in text})


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _name(head: Head, framework: str) -> str:
    return head.port_name if framework == "flax" else head.reference


def fault_of(trip: Trip, reason: str) -> str:
    """Which of `FAULTS` it is."""
    by_trip = {TO_HEAD: "lost", TO_BASE: "lost", TOLD: "told", AS_HALF: "types", **dict.fromkeys(REFUSED, "refused")}
    if trip.how in by_trip:
        return by_trip[trip.how]
    signs = {
        "hold no numbers": "nothing",
        "asked for, and not": "written",
        "does not arrive": "lost",
        "no message names it": "lost",
    }
    return next((fault for sign, fault in signs.items() if sign in reason), "raised")


def _saved(trip: Trip) -> str:
    """The lines that fill the folder."""

    def saving(model: str, form: str, where: str = "folder") -> str:
        options = f", safe_serialization={form.endswith('safetensors')}"
        if form.startswith("sharded"):
            options += ", max_shard_size=sum(array.nbytes for array in weights(model).values()) // 3"
        return f"{model}.save_pretrained({where}{options})\n"

    lines = ""
    if trip.how == HALF:
        half = "model = model.to(torch.bfloat16)\n"
        lines += half if trip.saved == "pytorch" else "model.params = model.to_bf16(model.params)\n"
    if trip.how == OVER:
        lines += saving("made(GIVER, 1)", BEFORE[trip.form])
    if trip.how == BELOW:
        lines += saving("made(GIVER, 1)", "safetensors")
    if trip.how == BESIDE:
        lines += saving("made(BESIDE, 1)", "msgpack" if trip.saved == "pytorch" else "safetensors")
    return lines + saving("model", trip.form, 'folder + "/below"' if trip.how == BELOW else "folder")


def _changed(trip: Trip) -> str:
    """The lines that change what lies in the folder."""
    if trip.how == NO_SHARD:
        return f'sorted(Path(folder).glob("*.{trip.form.split()[-1]}"))[-1].unlink()\n'
    if trip.how == NO_INDEX:
        return 'next(Path(folder).glob("*.index.json")).unlink()\n'
    if trip.how not in TAMPERED:
        return ""
    change = {
        STRAY: f'held["{STRAYS[trip.saved]}"] = np.arange(6, dtype="float32").reshape(2, 3)',
        MISSING: f"{CHOSEN}del held[chosen]",
    }.get(trip.how, f"{CHOSEN}held[chosen] = np.concatenate([held[chosen], held[chosen]])")
    text = CHANGED[trip.form].replace("CHANGE", change)
    return text.replace("FORMAT", "pt" if trip.saved == "pytorch" else "flax")


def _loaded(trip: Trip, shape: str) -> str:
    """The lines that load what lies in the folder."""
    crossing = trip.saved != trip.loaded
    if crossing and trip.loaded == "pytorch" and trip.how in (TO_HEAD, TO_BASE, TOLD):
        # By `from_pretrained` its weights would hold no numbers, which is another divergence.
        call = 'load_flax_checkpoint_in_pytorch_model(TAKER(config), folder + "/flax_model.msgpack")'
        return HEARD.replace("LOADED", call)
    options = {
        ", from_pt=True": crossing and trip.loaded == "flax",
        ", from_flax=True": crossing and trip.loaded == "pytorch",
        f", dtype={'torch' if trip.loaded == 'pytorch' else 'jax.numpy'}.bfloat16": trip.how == AS_HALF,
        ", _do_init=False": trip.how == APART,
        ", ignore_mismatched_sizes=True": trip.how == IGNORED,
        ', subfolder="below"': trip.how == BELOW,
        shape: trip.loaded == "flax",
    }
    return HEARD.replace("LOADED", f"TAKER.from_pretrained(folder{''.join(o for o, on in options.items() if on)})")
