"""One scorer in a process of its own: python zero_shot_sides.py ours|lm-eval|task FOLDER QUESTIONS OUT [BATCH].

`task` is ours from a task's file on, with every score kept. The others read questions (JSON lines of id, prompt,
options, target) and write the log-likelihoods, the CPU seconds of scoring (tokenising and our proof belong to it,
loading does not) and the most memory that was held, in bytes.
"""

import json
import sys
import time
from pathlib import Path

from harness.environment import peak_bytes


def ours(folder, questions):
    from harness.adapters.language import language_model
    from harness.adapters.tokenizer import tokenizer_of
    from harness.zeroshot.example import Example
    from harness.zeroshot.score import plan, run

    model, tokenizer = language_model(folder), tokenizer_of(folder)
    examples = [Example(each["id"], each["prompt"], tuple(each["options"]), each["target"]) for each in questions]
    start = time.process_time()
    planned = plan(model, tokenizer, examples)
    found = {each.id: list(each.log_likelihoods) for each in run(planned)}
    seconds = time.process_time() - start
    return seconds, [found[each.id] for each in examples], planned.chosen.way


def lm_eval(folder, questions, batch):
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=folder, dtype=torch.float32, device="cpu", batch_size=batch)
    pairs = [(each["prompt"], option) for each in questions for option in each["options"]]
    requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    start = time.process_time()
    flat = iter([value for value, _ in model.loglikelihood(requests, disable_tqdm=True)])
    seconds = time.process_time() - start
    return seconds, [[next(flat) for _ in each["options"]] for each in questions], f"batch size {batch}"


def task(folder, file, out):
    from harness import find_repository
    from harness.zeroshot.examples import examples_of
    from harness.zeroshot.run import score_task
    from harness.zeroshot.task import read_task

    asked = read_task(Path(file))
    examples, _ = examples_of(asked, find_repository(Path.cwd()))
    found = score_task(folder, folder, asked.name, examples, cache=Path(out).with_suffix(".kept"))
    told = {"accuracy": found.accuracy, "peak_bytes": peak_bytes(), "scored": [each.to_dict() for each in found.scored]}
    Path(out).write_text(json.dumps(told), encoding="utf-8")


def main(side, folder, requests, out, batch="32"):
    if side == "task":
        return task(folder, requests, out)
    questions = [json.loads(line) for line in Path(requests).read_text(encoding="utf-8").splitlines()]
    seconds, values, way = ours(folder, questions) if side == "ours" else lm_eval(folder, questions, int(batch))
    told = {"seconds": seconds, "log_likelihoods": values, "peak_bytes": peak_bytes(), "way": way}
    return Path(out).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
