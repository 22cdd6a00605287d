"""Plain HTTP against what was recorded from openhands-ai 0.53.0 (November 2026): bodies are compared to
the letter wherever the recording holds no time and no id. What differs on purpose says so."""

import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "lib")]

import conversations
import errors
import events
from http_plain import send

BASE = os.environ["BASE_URL"]


class Person:
    """A key and its ways of asking."""

    def __init__(self, key):
        self.headers = {"x-session-api-key": key}

    def send(self, method, path, body=None, **more):
        return send(method, f"{BASE}{path}", body, {**self.headers, **more.pop("headers", {})}, **more)

    def get(self, path, **more):
        return self.send("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.send("POST", path, body, **more)

    def patch(self, path, body):
        return self.send("PATCH", path, body)

    def delete(self, path):
        return self.send("DELETE", path)

    def create(self, **fields):
        """The id of a new conversation."""
        return self.post("/api/conversations", fields).json["conversation_id"]


class World:
    base = BASE
    alice = Person(os.environ["OPENHANDS_KEY_ALICE"])
    bob = Person(os.environ["OPENHANDS_KEY_BOB"])


conversations.run(World)
events.run(World)
errors.run(World)
