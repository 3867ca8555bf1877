"""Score a task of the toy model slowly, so that there is time for a kill: python -m ... CACHE EXAMPLES SECONDS."""

import sys
import time
from pathlib import Path

from harness.zeroshot.example import Example
from harness.zeroshot.run import score_task
from suites.selftest.zero_shot_toy import Toy, Words

SUBJECTS = ("the nurse", "the clerk")


def examples(count):
    """As many as there are, all different."""
    prompts = [f"{SUBJECTS[number % 2]} {'was ' * (number // 2 % 20)}because" for number in range(count)]
    return [Example(str(number), prompt, (" he was kind", " she"), number % 2) for number, prompt in enumerate(prompts)]


def main(cache, count, seconds):
    def slowly(rows):
        time.sleep(seconds)
        return rows

    told = lambda done, total: print(f"scored {done} of {total}", flush=True)  # noqa: T201, E731
    waits = lambda said: print(said, flush=True)  # noqa: T201, E731
    found = score_task(
        Toy(slowly), Words(), "slow", examples(count), batch=32, cache=Path(cache), progress=told, tell=waits
    )
    print(f"kept {found.kept} of {found.examples}: {found.accuracy}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
