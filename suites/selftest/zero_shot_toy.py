"""A causal language model in NumPy, its scores by brute force, and a task for it."""

from dataclasses import dataclass, field, replace

import numpy as np

from harness.zeroshot.example import Example

WORDS = ("<s>", "the", "nurse", "clerk", "thanked", "because", "he", "she", "was", "kind", "late", "slow", ".")
WIDTH, PLACES = 8, 32


@dataclass(frozen=True)
class Toy:
    """One layer of attention with learned positions. change: what is made of every call before it is answered."""

    change: object = None
    ways: tuple = ("tree", "plain")
    context: int = PLACES
    compiles: bool = False
    shapes: int = 0
    calls: list = field(default_factory=list)

    def log_probabilities(self, rows):
        self.calls.append(rows)
        rows = self.change(rows) if self.change else rows
        length = rows.tokens.shape[1]
        seen = np.tril(np.ones((length, length), bool))[None] if rows.seen is None else rows.seen
        found = log_softmax(forward(rows.tokens, rows.positions, seen))
        return found[rows.row, rows.column, rows.token]

    def fingerprint(self):
        return f"toy {self.change and self.change.__name__}"

    def versions(self):
        return {}

    def describe(self):
        return "a toy"


@dataclass(frozen=True)
class Words:
    """A tokenizer whose tokens are words. prefix: what it puts in front by itself."""

    prefix: tuple = (0,)
    begin: int = 0

    def encode(self, texts):
        return [[WORDS.index(word) for word in text.split()] for text in texts]

    def fingerprint(self):
        return f"words {self.prefix}"


def weights():
    generator = np.random.default_rng(0)
    shapes = {"words": (len(WORDS), WIDTH), "places": (PLACES, WIDTH), "head": (WIDTH, len(WORDS))}
    shapes |= dict.fromkeys(("query", "key", "value"), (WIDTH, WIDTH))
    return {name: generator.normal(size=shape) for name, shape in shapes.items()}


def forward(tokens, positions, seen):
    """Logits, (rows, length, words)."""
    made = weights()
    hidden = made["words"][tokens] + made["places"][positions]
    query, key, value = (hidden @ made[name] for name in ("query", "key", "value"))
    scores = np.where(seen, query @ key.swapaxes(1, 2) / WIDTH, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (hidden + shares / shares.sum(axis=-1, keepdims=True) @ value) @ made["head"]


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def by_hand(example, *, begin=True):
    """The log-likelihood of each option, one text at a time, by the definition."""
    found = []
    for option in example.options:
        before = ([0] if begin else []) + [WORDS.index(word) for word in example.prompt.split()]
        tokens = before + [WORDS.index(word) for word in option.split()]
        length = len(tokens)
        seen = np.tril(np.ones((length, length), bool))[None]
        logs = log_softmax(forward(np.array([tokens]), np.arange(length)[None], seen))[0]
        found.append(sum(logs[place - 1, tokens[place]] for place in range(len(before), length)))
    return found


TASK = (
    Example("1", "the nurse thanked the clerk because", (" he was kind .", " she was kind ."), 0),
    Example("2", "the clerk thanked the nurse because", (" he was late .", " she was late ."), 1),
    Example(
        "3", "the nurse thanked the clerk because", (" he was late .", " she was slow .", " the clerk was kind ."), 2
    ),
    Example("4", "the nurse was", (" kind", " late"), 1),
    Example("5", "the nurse was kind because", (" she was slow .", " he was late ."), 0),
    Example("6", "the clerk was", (" slow .", " late because the nurse was slow ."), 1),
)


def every_token_of_the_row(rows):
    """A fault: a row's tokens look at all before them, also at those of other branches."""
    length = rows.tokens.shape[1]
    return replace(rows, seen=np.tril(np.ones((length, length), bool))[None])


def padding_too(rows):
    """A fault: tokens look at padding."""
    length = rows.tokens.shape[1]
    seen = np.tril(np.ones((length, length), bool))[None] if rows.seen is None else rows.seen
    return replace(rows, seen=seen | ~rows.valid[:, None, :])


def running_positions(rows):
    """A fault: positions count on where a branch begins."""
    return replace(rows, positions=np.broadcast_to(np.arange(rows.tokens.shape[1]), rows.tokens.shape))


def one_later(rows):
    """A fault: the log-probability is read one position later."""
    return replace(rows, column=np.minimum(rows.column + 1, rows.tokens.shape[1] - 1))
