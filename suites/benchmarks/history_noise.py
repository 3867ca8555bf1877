"""Measure how a forward pass varies from one process to the next beside its yardstick: the noise of the simulations.

`python -m suites.benchmarks.history_noise` writes `reports/baseline/history_noise.json`: a row a process, with the
median CPU seconds of the forward pass of a small BERT and those of the yardstick that was timed in turn with it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from rich.progress import track

from harness.bench import context
from harness.bench.clock import read
from harness.bench.history.yardstick import layers, ratio
from harness.files import write_atomic

NOISE = Path(__file__).parents[2] / "reports/baseline/history_noise.json"
PROCESSES, ROUNDS, WARM_UP = 120, 40, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("-o", "--output", type=Path, default=NOISE)
    options = parser.parse_args()
    import torch
    import transformers

    torch.set_num_threads(1)
    assert transformers.BertModel
    # Forked, so that each has what a process draws anew (memory, caches, its core), and none imports torch again.
    forks = multiprocessing.get_context("fork")
    rows, loads = list[tuple[float, float]](), list[float]()
    for _ in track(range(options.processes), "measuring", console=None):
        receiving, sending = forks.Pipe(duplex=False)
        process = forks.Process(target=_measure, args=(sending,))
        process.start()
        rows.append(receiving.recv())
        process.join()
        loads.append(os.getloadavg()[0])
    told: dict[str, Any] = {
        "what": "median CPU seconds of a forward pass and of its yardstick, a row a process",
        "command": "python -m suites.benchmarks.history_noise",
        "context": context.capture(threads=1).to_dict(),
        "load_average": [min(loads), statistics.median(loads), max(loads)],
        "rounds": ROUNDS,
        "rows": rows,
    }
    write_atomic(options.output, json.dumps(told, indent=1) + "\n")
    ratios = [forward / yardstick for forward, yardstick in rows]
    for name, values in (("forward", [row[0] for row in rows]), ("forward / yardstick", ratios)):
        print(f"{name}: varies by {statistics.stdev(values) / statistics.mean(values):.2%}", file=sys.stderr)


def _measure(sending: Any) -> None:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)
    model = BertModel(config).eval()
    ids = torch.arange(64)[None]
    mask = torch.ones_like(ids)
    work = layers()
    with torch.inference_mode():
        forward, yardstick = list[float](), list[float]()
        for _ in range(WARM_UP + ROUNDS):
            yardstick.append(read(work)[0].cpu_seconds)
            forward.append(read(lambda: model(ids, attention_mask=mask))[0].cpu_seconds)
    forward, yardstick = forward[WARM_UP:], yardstick[WARM_UP:]
    took = statistics.median(forward)
    sending.send((took, took / ratio(forward, yardstick)))


if __name__ == "__main__":
    main()
