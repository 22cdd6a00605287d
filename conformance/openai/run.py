"""`openai` for Python, unmodified, in strict response validation: as `OpenAI`, and under the prefix
also as `AzureOpenAI` and at Foundry's form of endpoint."""

import os
import sys
from pathlib import Path

from openai import AzureOpenAI, OpenAI

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "lib")]

import conversations
import items
import users

BASE, SERVER, KEY, RUN = (os.environ[name] for name in ("BASE_URL", "SERVER_URL", "OPENAI_KEY", "RUN"))
STRICT = {"_strict_response_validation": True, "max_retries": 0}


def openai(key=KEY, **more):
    return OpenAI(base_url=f"{BASE}/v1", api_key=key, **STRICT, **more)


def azure(key=KEY, **more):
    return AzureOpenAI(
        azure_endpoint=SERVER, api_key=key, api_version="2025-04-01-preview", **STRICT, **more
    )


def azure_v1(key=KEY, **more):
    query = {"api-version": "preview"}
    return OpenAI(base_url=f"{SERVER}/openai/v1", api_key=key, default_query=query, **STRICT, **more)


def foundry(key=KEY, **more):
    return OpenAI(base_url=f"{SERVER}/api/projects/p/openai/v1", api_key=key, **STRICT, **more)


class Flavour:
    """A way to make clients, and the plain URL behind it."""

    def __init__(self, name, make, url):
        self.name, self.make, self.url = name, make, url
        self.at_root = url == f"{SERVER}/v1"
        # A user of its own, so that lists hold what this flavour has made and no more.
        self.user = f"{RUN}-{name}"
        self.client = make(default_headers={"x-ms-user-isolation-key": self.user})
        self.headers = {"authorization": f"Bearer {KEY}", "x-ms-user-isolation-key": self.user}


FLAVOURS = [Flavour("OpenAI", openai, f"{BASE}/v1")]
if BASE != SERVER:
    FLAVOURS += [
        Flavour("AzureOpenAI", azure, f"{SERVER}/openai"),
        Flavour("Azure v1", azure_v1, f"{SERVER}/openai/v1"),
        Flavour("Foundry", foundry, f"{SERVER}/api/projects/p/openai/v1"),
    ]

for flavour in FLAVOURS:
    conversations.run(flavour)
    items.run(flavour)
    users.run(flavour)
