"""Whose conversation it is: the isolation headers, and keys that are bound to a user."""

import os

from conversations import four_keys
from http_plain import send
from openai import BadRequestError, NotFoundError
from results import equal, holds, raises, test

ISOLATION, IDENTITY = "x-ms-user-isolation-key", "x-ms-user-identity"


def run(flavour):
    by_header(flavour)
    by_key(flavour)
    credentials(flavour)


def by_header(flavour):
    name = flavour.name

    def user(**headers):
        return flavour.make(default_headers={key.replace("_", "-"): h for key, h in headers.items()})

    alice = user(x_ms_user_isolation_key=f"{flavour.user}-alice").conversations
    bob = user(x_ms_user_isolation_key=f"{flavour.user}-bob").conversations
    nobody = user().conversations

    def unseen(by, conversation, item):
        raises(NotFoundError, lambda: by.retrieve(conversation.id))
        raises(NotFoundError, lambda: by.update(conversation.id, metadata={}))
        raises(NotFoundError, lambda: by.items.list(conversation.id))
        raises(NotFoundError, lambda: by.items.create(conversation.id, items=[item.to_dict()]))
        raises(NotFoundError, lambda: by.items.retrieve(item.id, conversation_id=conversation.id))
        raises(NotFoundError, lambda: by.items.delete(item.id, conversation_id=conversation.id))
        raises(NotFoundError, lambda: by.delete(conversation.id))

    def made(by):
        conversation = by.create(items=[{"role": "user", "content": "mine"}], metadata={"a": "b"})
        return conversation, by.items.list(conversation.id).data[0]

    @test(f"{name}: another user finds nothing, and changes nothing")
    def _():
        conversation, item = made(alice)
        unseen(bob, conversation, item)
        equal(alice.retrieve(conversation.id), conversation)
        equal(alice.items.list(conversation.id).data, [item])

    @test(f"{name}: no user finds nothing of a user, nor a user of none")
    def _():
        unseen(nobody, *made(alice))
        unseen(alice, *made(nobody))

    @test(f"{name}: another user is answered as if there were nothing")
    def _():
        conversation, _ = made(alice)
        known = raises(NotFoundError, lambda: bob.delete(conversation.id))
        unknown = raises(NotFoundError, lambda: bob.delete("conv_" + "0" * 32))
        neutral = [e.message.replace(conversation.id, "ID") for e in (known, unknown)]
        neutral[1] = neutral[1].replace("conv_" + "0" * 32, "ID")
        equal(neutral[0], neutral[1])

    @test(f"{name}: a user lists what is his and no more")
    def _():
        conversation, _ = made(alice)
        for who, sees in ((f"{flavour.user}-alice", True), (f"{flavour.user}-bob", False)):
            headers = {**flavour.headers, ISOLATION: who}
            rows = send("GET", f"{flavour.url}/conversations", headers=headers).json["data"]
            equal(conversation.id in [row["id"] for row in rows], sees)

    @test(f"{name}: an empty isolation header is none")
    def _():
        conversation, _ = made(nobody)
        empty = user(x_ms_user_isolation_key="").conversations
        equal(empty.retrieve(conversation.id), conversation)
        equal(nobody.retrieve(empty.create().id).object, "conversation")

    @test(f"{name}: either header names the user")
    def _():
        conversation, _ = made(alice)
        named = user(x_ms_user_identity=f"{flavour.user}-alice").conversations
        equal(named.retrieve(conversation.id), conversation)
        both = user(
            x_ms_user_isolation_key=f"{flavour.user}-alice",
            x_ms_user_identity=f"{flavour.user}-alice",
        )
        equal(both.conversations.retrieve(conversation.id), conversation)

    @test(f"{name}: two headers that differ are refused before anything is looked up")
    def _():
        differing = user(x_ms_user_isolation_key="a", x_ms_user_identity="b").conversations
        error = raises(BadRequestError, differing.create)
        equal(error.param, ISOLATION)
        raises(BadRequestError, lambda: differing.retrieve("conv_" + "0" * 32))


def by_key(flavour):
    name = flavour.name
    alice = flavour.make(os.environ["OPENAI_KEY_ALICE"]).conversations
    bob = flavour.make(os.environ["OPENAI_KEY_BOB"]).conversations

    @test(f"{name}: a key that is bound to a user sees that user's conversations")
    def _():
        conversation = alice.create()
        equal(alice.retrieve(conversation.id), conversation)
        raises(NotFoundError, lambda: bob.retrieve(conversation.id))
        raises(NotFoundError, lambda: flavour.client.conversations.retrieve(conversation.id))

    @test(f"{name}: a key that is bound to a user refuses to speak for another")
    def _():
        headers = {ISOLATION: "somebody-else"}
        other = flavour.make(os.environ["OPENAI_KEY_ALICE"], default_headers=headers).conversations
        equal(raises(BadRequestError, other.create).param, ISOLATION)
        raises(BadRequestError, lambda: other.delete("conv_" + "0" * 32))


def credentials(flavour):
    name, key = flavour.name, flavour.headers["authorization"].removeprefix("Bearer ")

    @test(f"{name}: a key is taken as bearer and as api-key")
    def _():
        for headers in ({"authorization": f"Bearer {key}"}, {"api-key": key}):
            equal(send("POST", f"{flavour.url}/conversations", {}, headers).status, 200)

    @test(f"{name}: any api-version is accepted")
    def _():
        for version in ("v1", "preview", "2025-04-01-preview", ""):
            url = f"{flavour.url}/conversations?api-version={version}"
            equal(send("POST", url, {}, flavour.headers).status, 200)

    @test(f"{name}: a key of another dialect is refused")
    def _():
        other = os.environ.get("DIFY_KEY", "app-unknown")
        answer = send("POST", f"{flavour.url}/conversations", {}, {"api-key": other})
        if flavour.at_root:
            # At the root the key decides who answers: in its own dialect, there is no such path.
            holds(answer.status in (404, 405), f"{answer}")
        else:
            four_keys(answer, 401, "invalid_api_key", None)
