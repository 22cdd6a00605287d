"""The model behind the server under test: what it is told to say, and what it was asked.

A script in what the user says decides the answer; without one it is `You said: ...`, a call of the first
tool if there are any, or JSON of the schema that is asked for."""

import itertools
import json
import os

from http_plain import send

MODEL = "scripted"
URL = os.environ["MODEL_URL"]
RUN = os.environ["RUN"]

_numbers = itertools.count(1)


def script(**answer):
    """A text that the model answers so."""
    return f"[[script: {json.dumps(answer)}]]"


class Gate:
    """Where an answer waits until it is opened."""

    def __init__(self):
        self.name = f"{RUN}-{next(_numbers)}"

    def open(self):
        send("POST", f"{URL}/gates/{self.name}")


def asked():
    """The body of the last question that the model got."""
    requests = send("GET", f"{URL}/requests").json
    return [request["body"] for request in requests if request["path"] == "/v1/chat/completions"][-1]


def read_by_model():
    """The messages of the last question, as pairs of role and text."""

    def text(content):
        if isinstance(content, str) or content is None:
            return content
        return " ".join(part.get("text", f"[{part['type']}]") for part in content)

    return [(message["role"], text(message.get("content"))) for message in asked()["messages"]]
