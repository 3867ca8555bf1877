"""What walks through a document sees where it is wrong."""

import pytest

from suites.docs.walk import alike, changed, steps, walk

PAGE = """
<!-- write hello.sh -->
```bash
echo hello 3
```

<!-- change hello.sh -->
```diff
-echo hello 3
+echo hello 4
```

<!-- run, exit 1 -->
```bash
sh hello.sh; exit 1
```

```text
hello 4
```

<!-- run -->
```bash
true
```
"""


def test_a_document_is_walked_through(tmp_path):
    found = list(steps(PAGE))
    assert [(step.verb, step.target) for step in found] == [
        ("write", "hello.sh"),
        ("change", "hello.sh"),
        ("run", "1"),
        ("run", ""),
    ]
    assert [step.shown for step in found] == [None, None, "hello 4\n", None]
    for step in found:
        walk(step, tmp_path)


@pytest.mark.parametrize(
    ("old", "new"), [("exit 1 -->", "exit 2 -->"), ("text\nhello 4", "text\nhello 5"), ("text\nhello", "text\nhallo")]
)
def test_what_a_command_does_otherwise_is_seen(tmp_path, old, new):
    assert old in PAGE
    *before, _ = steps(PAGE.replace(old, new))
    for step in before[:-1]:
        walk(step, tmp_path)
    with pytest.raises(AssertionError):
        walk(before[-1], tmp_path)


def test_a_change_fits_in_one_place():
    assert changed("a\nb\nc\n", " a\n-b\n+d\n") == "a\nd\nc\n"
    with pytest.raises(AssertionError, match="does not occur once"):
        changed("a\nb\nb\n", "-b\n")


@pytest.mark.parametrize(
    ("got", "shown", "same"),
    [
        ("off by 0.101 of 2\n", "off by 0.1 of 2\n", True),
        ("off by 0.2 of 2\n", "off by 0.1 of 2\n", False),
        ("off by 3e-08\n", "off by 7e-10\n", True),
        ("off by 3e-08\n", "off by 3e-02\n", False),
        ("one\ntwo\nthree\n", "one\n...\nthree\n", True),
        ("one\ntwo\nfour\n", "one\n...\nthree\n", False),
        ("one\ntwo\n", "one\n", False),
        ("51 of 52 taps\n", "52 of 52 taps\n", False),
        ("", "one\n", False),
    ],
)
def test_output_is_compared_word_for_word(got, shown, same):
    assert alike(got, shown) is same
