"""Two tokenizers on the same texts: ids, decoded texts and offsets, and the tested causes of what differs."""
