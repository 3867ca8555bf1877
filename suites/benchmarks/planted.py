"""A real model's forward with real work planted in it: BERT of the size "mini", 64 tokens, PyTorch, one thread."""

SHAPE = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
TOKENS = 64


def forward(products=0):
    """A call without arguments: the model's forward, and after it so many products of its output with a matrix."""
    import torch
    from transformers import BertConfig, BertModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SHAPE), add_pooling_layer=False).eval()
    tokens = torch.arange(TOKENS)[None] + 1000
    matrix = torch.randn(256, 64)

    def call(products=products):
        with torch.inference_mode():
            output = model(input_ids=tokens).last_hidden_state
            for _ in range(products):
                output @ matrix
        return output

    return call
