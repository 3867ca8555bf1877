"""What the scripts are made of that show a divergence of twins; the words in capitals are filled in."""

from harness.parity.script import FAULTY, MENDED

ROUNDING = 1e-5
"""Times the largest value: more than rounding does to such small models in float32, less than the divergences."""

DRAWN = """
def drawn(shape, generator):
    # The default initialisation is so small, and its biases so neutral, that most differences hide.
    values = generator.normal(size=shape).astype("float32")
    fan = values.size / max(shape[0], shape[-1])
    return values / np.float32(fan**0.5) if len(shape) > 1 else 1 + np.float32(0.3) * values

"""

TO_FLAX = """
reference = REFERENCE(CONFIG).MODE()
generator = np.random.default_rng(0)
with torch.no_grad():
    for each in reference.parameters():
        if each.requires_grad and each.ndim:
            each.copy_(torch.from_numpy(drawn(tuple(each.shape), generator)))
with tempfile.TemporaryDirectory() as folder:
    reference.save_pretrained(folder)
    port = PORT.from_pretrained(folder, from_pt=TrueSHAPE)
"""

FROM_FLAX = """
config = CONFIG
port = PORT(configSHAPE)
generator = np.random.default_rng(0)
port.params = jax.tree.map(lambda each: drawn(each.shape, generator) if each.ndim else each, port.params)
reference = REFERENCE(config).MODE()
with tempfile.TemporaryDirectory() as folder:
    port.save_pretrained(folder)
    reference = load_flax_checkpoint_in_pytorch_model(reference, folder + "/flax_model.msgpack").MODE()
"""

RUN = """
inputs = INPUTS
with torch.no_grad():
    right = reference(**{name: torch.tensor(array) for name, array in inputs.items()})OUTPUT.numpy()
got = np.asarray(port(**inputsTRAINING)FIRSTOTHER)
if right.shape != got.shape:
    print("reference    ", right.shape)
    print("port         ", got.shape)
    print("FAULTY")
    sys.exit(1)VALID
""".replace("FAULTY", FAULTY)


VALID = """
masks = [array > 0 for name, array in inputs.items() if name.endswith("mask") and array.shape == right.shape[:2]]
right, got = (each[masks[-1]] if masks else each for each in (right, got))"""

WITHOUT_CHANCE = """
# What is random keeps all, scaled as what is kept would be.
# Where it stands, and its rate, then show without chance.
def dropout(x, p=0.5, training=True, inplace=False):
    return x / (1 - p) if training and p < 1 else x


def rand(*shape, **kind):
    return torch.full(shape[0] if shape and not isinstance(shape[0], int) else shape, 0.5)


torch.nn.functional.dropout, torch.rand = dropout, rand
jax.random.bernoulli = lambda key, p=0.5, shape=(), *_: jax.numpy.ones(shape, bool)
jax.random.uniform = lambda key, shape=(), *_, **__: jax.numpy.full(shape, 0.5)
"""

ATTEMPT = """
def attempt(name, run):
    try:
        found = run()
    except Exception as error:
        print(f"{name:13}raised {type(error).__name__}: {error}")
        return None
    print(f"{name:13}{found.tolist() if isinstance(found, np.ndarray) else 'ran'}")
    return found
"""

REFUSED = """
inputs = INPUTS
folder = tempfile.mkdtemp()


def configuration():
    return CONFIG


def run_reference():
    reference = REFERENCE(configuration()).MODE()
    reference.save_pretrained(folder)
    with torch.no_grad():
        return reference(**{name: torch.tensor(array) for name, array in inputs.items()})PART


def run_port():
    port = PORT_MADE
    return port(**inputsTRAINING)PART


right, got = attempt("reference", run_reference), attempt("port", run_port)
fault = RAISES is None and RUNS is not None
"""

WRITTEN = """
inputs = INPUTS
how = HOW
folder = tempfile.mkdtemp()


def run_reference():
    reference = REFERENCE(CONFIG).eval()
    for name, tensor in reference.named_parameters():
        if tensor.requires_grad:
            tensor.data.copy_(torch.from_numpy(drawn(name, tensor.detach().numpy(), seed=0)))
    reference.save_pretrained(folder)
    return reference.generate(**{name: torch.tensor(array) for name, array in inputs.items()}, **how).numpy()


def run_port():
    port = PORT.from_pretrained(folder, from_pt=TrueSHAPE)
    first, *others = inputs
    return np.asarray(port.generate(inputs[first], **{name: inputs[name] for name in others}, **how).sequences)


right, got = attempt("reference", run_reference), attempt("port", run_port)
fault = (right is None) != (got is None)
if right is not None and got is not None:
    width = max(right.shape[1], got.shape[1])
    right, got = (np.pad(each, ((0, 0), (0, width - each.shape[1]))) for each in (right, got))
    fault = not np.array_equal(right, got)
"""

PADDED = """
inputs = INPUTS
arrays = {name: torch.tensor(array) for name, array in inputs.items()}
name, output = next(iter(reference(**arrays).items()))
weights = generator.normal(size=output.shape).astype("float32")
(output * torch.from_numpy(weights)).sum().backward()
table = reference.get_input_embeddings().weight.grad.numpy()
gradients = jax.grad(lambda params: (port(**inputs, params=params)[name] * weights).sum())(port.params)
same = [np.asarray(leaf) for leaf in jax.tree.leaves(gradients) if leaf.shape == table.shape]
others = np.arange(len(table)) != PADDING
theirs = min(same, key=lambda leaf: np.abs(leaf - table)[others].max())
print("of the table but the row of padding, off by", np.abs(theirs - table)[others].max())
right, got = table[PADDING], theirs[PADDING]
"""

SAID = f'''
print("{FAULTY}" if fault else "{MENDED}")
sys.exit(1 if fault else 0)
'''
