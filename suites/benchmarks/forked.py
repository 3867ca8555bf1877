"""Processes that begin with what this one has imported."""

import json
import os

from harness.bench import clock, context, worker
from harness.bench.clock import Reading
from harness.bench.context import Context
from harness.bench.lockstep import asked_of


def in_child(function):
    """What the function returns in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            answer = json.dumps(function())
        except BaseException as error:
            answer = json.dumps(f"{type(error).__name__}: {error}")
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        answer = json.loads(stream.read())
    os.waitpid(child, 0)
    return answer


class Forked:
    """A side in a forked process: what `harness.bench.lockstep.Running` is, without starting Python anew."""

    def __init__(self, side):
        self.side = side

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.kill(self.pid, 9)
        self.asks.close()
        self.answers.close()
        os.waitpid(self.pid, 0)

    def start(self):
        asked, asking = os.pipe()
        answered, answering = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                with os.fdopen(asked) as lines, os.fdopen(answering, "w") as answers:
                    worker.serve(lines, answers, clock=clock, context=context)
            finally:
                os._exit(1)
        os.close(asked)
        os.close(answering)
        self.asks, self.answers = os.fdopen(asking, "w"), os.fdopen(answered)
        self._ask(asked_of(self.side))

    def built(self):
        return Context(**self._answer()["context"])

    def run(self, calls=1):
        self._ask({"calls": calls})
        return Reading(*self._answer()["reading"])

    def _ask(self, value):
        self.asks.write(json.dumps(value) + "\n")
        self.asks.flush()

    def _answer(self):
        answer = json.loads(self.answers.readline())
        if "failed" in answer:
            raise SystemExit(f"{self.side.name}: {answer['failed']}")
        return answer
