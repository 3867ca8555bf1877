"""What is usually wrong where a step of a port fails: to be looked at first, and no diagnosis."""

from __future__ import annotations

from collections.abc import Mapping

USUAL: Mapping[str, tuple[str, ...]] = {
    "weights": (
        "a kernel that is not transposed, or one that is square and is transposed twice",
        "query, key and value taken from a fused projection in another order",
        "a head that is not tied to the embedding, or is loaded beside it",
        "a bias or a running statistic that nothing wrote",
    ),
    "embeddings": (
        "positions that begin at 0 on one side and after the padding index on the other",
        "a scale by the square root of the width that one side leaves out",
        "token types or the norm after the sum forgotten, or its epsilon",
        "the patches of an image in another order of axes, or padded at other edges",
    ),
    "first layer": (
        "the epsilon of a norm, or the norm before the residual instead of after it",
        "GELU by tanh on one side and by erf on the other",
        "attention without its scale, or a mask that adds where it should forbid",
        "rotary pairs interleaved on one side and in halves on the other",
    ),
    "remaining layers": (
        "a setting by layer: the window of attention, the dilation, the rate of a drop path",
        "the weights of layers in another order, as 0, 1, 10, 2",
        "something of one layer that is used for all: a cache, a bias, a table of positions",
    ),
    "head": (
        "the last norm forgotten, or applied twice",
        "another pooling: the first token, the last, or a mean that counts padding",
        "a head that is not tied, or has a bias or a scale on one side alone",
    ),
    "loss and gradients": (
        "a part that no gradient flows through on one side: stop_gradient, detach, no_grad",
        "a weight that is shared forwards and has two gradients",
        "dropout at another place, or of another rate",
        "the momentum of a batch norm, which frameworks count from opposite ends",
    ),
    "tokenizer": (
        "other special tokens, or added at another end",
        "lower case, accents or spaces treated in another way before the text is split",
        "a fast tokenizer that was converted from other rules than the slow one has",
    ),
    "generation": (
        "a cache that is written at another position, or not at all",
        "positions that begin at 0 again at every step",
        "padding on the left that counts as text",
        "another first token, or another end of a text",
    ),
    "end to end": (
        "the preprocessing: another resize, mean, sampling rate or padding",
        "settings of generation that one side reads from a file",
        "what is done with the result afterwards: a softmax, an offset, a strip of spaces",
    ),
}
"""Step -> the faults that ports have there most often, in the words of a person who looks for them."""
