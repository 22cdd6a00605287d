"""`cozepy`, unmodified, and plain HTTP for what it does not show."""

import logging
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "lib")]

import access
import chats
import conversations
import messages
from cozepy import Coze, TokenAuth

# Refusals are what most of this is about; the SDK need not warn of each.
logging.getLogger("cozepy").setLevel(logging.ERROR)
BASE, BOT = os.environ["BASE_URL"], os.environ["COZE_BOT_ID"]


class Account:
    """A client of one key, and the plain way beside it."""

    def __init__(self, key):
        self.key = key
        self.client = Coze(auth=TokenAuth(token=key), base_url=BASE)
        self.headers = {"authorization": f"Bearer {key}"}


class World:
    url, bot = f"{BASE}/v1", BOT
    alice = Account(os.environ["COZE_KEY_ALICE"])
    bob = Account(os.environ["COZE_KEY_BOB"])
    reader = Account(os.environ["COZE_KEY_READER"])


conversations.run(World)
messages.run(World)
chats.run(World)
access.run(World)
