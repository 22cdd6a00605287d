"""`openai` for Python, unmodified, in strict response validation: as `OpenAI`, and under the prefix
also as `AzureOpenAI` and at Foundry's form of endpoint."""

import os
import sys
from pathlib import Path

from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "lib")]

import asyncs
import azure
import background
import chat
import conversations
import errors
import items
import responses
import streams
import tools
import users

BASE, SERVER, KEY, RUN = (os.environ[name] for name in ("BASE_URL", "SERVER_URL", "OPENAI_KEY", "RUN"))
STRICT = {"_strict_response_validation": True, "max_retries": 0}


# How clients are made, the synchronous class and the asynchronous.
PLAIN, AZURE = (OpenAI, AsyncOpenAI), (AzureOpenAI, AsyncAzureOpenAI)
VERSION = {"api_version": "2025-04-01-preview"}
PROJECT = f"{SERVER}/api/projects/p"
AGENT = f"{PROJECT}/agents/second/endpoint/protocols/openai"


class Flavour:
    """A way to make clients, and the plain URL behind it."""

    def __init__(self, name, url, classes=PLAIN, **settings):
        self.name, self.url, self.classes = name, url, classes
        self.settings = {**STRICT, **(settings or {"base_url": url})}
        self.at_root = url == f"{SERVER}/v1"
        # A user of its own, so that lists hold what this flavour has made and no more.
        self.user = f"{RUN}-{name}"
        self.client = self.make(default_headers={"x-ms-user-isolation-key": self.user})
        self.headers = {"authorization": f"Bearer {KEY}", "x-ms-user-isolation-key": self.user}

    def make(self, key=KEY, **more):
        return self.classes[0](api_key=key, **self.settings, **more)

    def make_async(self, key=KEY, **more):
        return self.classes[1](api_key=key, **self.settings, **more)


def queried(url, version):
    return {"base_url": url, "default_query": {"api-version": version}}


FLAVOURS = [Flavour("OpenAI", f"{BASE}/v1")]
if BASE != SERVER:
    FLAVOURS += [
        Flavour("AzureOpenAI", f"{SERVER}/openai", AZURE, azure_endpoint=SERVER, **VERSION),
        Flavour("Azure v1", f"{SERVER}/openai/v1", **queried(f"{SERVER}/openai/v1", "preview")),
        Flavour("Foundry", f"{PROJECT}/openai/v1"),
        Flavour("Agent", AGENT, **queried(AGENT, "v1")),
    ]

PARTS = (conversations, items, users, responses, streams, tools, background, errors, chat, asyncs)
for flavour in FLAVOURS:
    for part in PARTS:
        part.run(flavour)
if BASE != SERVER:
    azure.run(SERVER, KEY, STRICT)
