"""A small tokenizer of words, and the faults that are planted in it."""

import re
import unicodedata
import zlib
from dataclasses import dataclass, field

FAULTS = (
    "drops a leading space",
    "does not lower",
    "joins digits",
    "another unknown id",
    "does not compose",
    "counts bytes",
    "splits literals",
    "cleans up spaces",
)
UNKNOWN, LITERAL = 1, 2
PIECES = re.compile(r"<s>|[0-9]| ?[^\W\d]+|\s|.", re.DOTALL)
JOINED = re.compile(r"<s>|[0-9]+| ?[^\W\d]+|\s|.", re.DOTALL)
SPLIT = re.compile(r"[0-9]| ?[^\W\d]+|\s|.", re.DOTALL)


@dataclass
class Toy:
    """It composes and lowers a text, cuts it into words, digits and signs, and knows no sign above U+2FFF."""

    fault: str = ""
    literals = ("<s>",)
    names: dict = field(default_factory=dict)

    def encode(self, text):
        return [self._number(match[0]) for match in self._matches(text)]

    def decode(self, ids):
        text = "".join(self.names.get(number, "?") for number in ids)
        return re.sub(r" ([.,!?])", r"\1", text) if self.fault == "cleans up spaces" else text

    def offsets(self, text):
        written = self._written(text)
        spans = [match.span() for match in self._matches(text)]
        if self.fault != "counts bytes":
            return spans
        return [tuple(len(written[:place].encode(errors="replace")) for place in span) for span in spans]

    def _matches(self, text):
        pattern = {"joins digits": JOINED, "splits literals": SPLIT}.get(self.fault, PIECES)
        return pattern.finditer(self._written(text))

    def _written(self, text):
        if self.fault == "drops a leading space":
            text = text.removeprefix(" ")
        if self.fault != "does not compose":
            text = unicodedata.normalize("NFC", text)
        return text if self.fault == "does not lower" else text.lower()

    def _number(self, piece):
        if piece == "<s>" and self.fault != "splits literals":
            self.names[LITERAL] = piece
            return LITERAL
        if any(sign > "\u2fff" for sign in piece):
            unknown = UNKNOWN - 1 if self.fault == "another unknown id" else UNKNOWN
            self.names[unknown] = "?"
            return unknown
        number = 10 + zlib.crc32(piece.encode(errors="replace"))
        self.names[number] = piece
        return number
