"""One line of JSON for each test; what a failure was about goes into the line as well."""

import json
import sys
import traceback


def test(sentence):
    """Runs the function below at once. It passes if it raises nothing."""

    def run(function):
        try:
            function()
            line = {"test": sentence, "ok": True}
        except Exception as error:  # whatever it is, the next test must run
            frames = [f for f in traceback.extract_tb(error.__traceback__) if f.name == "_"]
            text = f"{type(error).__name__}: {error}"[:400]
            line = {"test": sentence, "ok": False, "why": f"{text} (line {frames[-1].lineno if frames else '?'})"}
        print(json.dumps(line, ensure_ascii=False), flush=True)
        return function

    return run


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def holds(condition, what="it does not hold"):
    if not condition:
        raise AssertionError(what)


def raises(kind, call):
    """The error of that kind that the call raises."""
    try:
        answer = call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}, but {answer!r}")


if sys.version_info < (3, 10):
    sys.exit("Python 3.10 or newer is needed")
