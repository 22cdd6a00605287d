"""Conversations: made, read, renamed, cleared, listed, deleted."""

import re

from cozepy import CozeAPIError, Message
from http_plain import send
from results import equal, holds, raises, test

UNKNOWN = "7000000000000000001"
LOGID = re.compile(r"\d{14}[0-9A-F]{20}")


def refused(code, call):
    error = raises(CozeAPIError, call)
    equal(error.code, code)
    holds(error.msg, "no msg")
    holds(LOGID.fullmatch(error.logid or ""), f"logid {error.logid!r}")
    return error


def run(world):
    made(world)
    limits(world)
    changed(world)
    listed(world)
    deleted(world)


def made(world):
    api = world.alice.client.conversations

    @test("a conversation is made, and reads as it was made")
    def _():
        conversation = api.create(bot_id=world.bot, name="A name", meta_data={"topic": "demo"})
        equal((conversation.name, conversation.meta_data), ("A name", {"topic": "demo"}))
        equal(conversation.connector_id, "1024")
        read = api.retrieve(conversation_id=conversation.id)
        equal(read.model_dump(), conversation.model_dump())

    @test("ids are 19 digits, and say when they were made")
    def _():
        conversation = api.create()
        for id in (conversation.id, conversation.last_section_id):
            holds(re.fullmatch(r"\d{19}", id), id)
        equal(int(conversation.id) >> 21, int(conversation.id) // 2**21)
        equal((int(conversation.id) >> 21) // 1000, conversation.created_at)

    @test("a conversation can be made from nothing")
    def _():
        conversation = api.create()
        equal((conversation.meta_data, conversation.name or ""), ({}, ""))
        holds(isinstance(conversation.updated_at, int), "updated_at")

    @test("an empty body and an empty connector are as good as none")
    def _():
        url, headers = f"{world.url}/conversation/create", world.alice.headers
        equal(send("POST", url, headers=headers).json["code"], 0)
        equal(send("POST", url, {"connector_id": "", "bot_id": ""}, headers).json["code"], 0)

    @test("messages given at creation are in the conversation at once")
    def _():
        question = Message.build_user_question_text("hello?")
        answer = Message.build_assistant_answer("hello!")
        conversation = api.create(messages=[question, answer], bot_id=world.bot)
        rows = api.messages.list(conversation_id=conversation.id, order="asc").items
        equal([row.content for row in rows], ["hello?", "hello!"])
        equal([row.role.value for row in rows], ["user", "assistant"])

    @test("a conversation has one creator, whoever of the account asks")
    def _():
        conversation = api.create()
        read = world.reader.client.conversations.retrieve(conversation_id=conversation.id)
        equal(read.creator_id, conversation.creator_id)
        holds(world.bob.client.conversations.create().creator_id != conversation.creator_id)

    @test("every answer has its logid in header and body")
    def _():
        url = f"{world.url}/conversation/create"
        answer = send("POST", url, {}, world.alice.headers)
        logid = answer.json["detail"]["logid"]
        equal(answer.headers["x-tt-logid"], logid)
        holds(LOGID.fullmatch(logid), logid)
        equal((answer.status, answer.json["code"], answer.json["msg"]), (200, 0, ""))


def limits(world):
    api = world.alice.client.conversations

    @test("16 pairs of meta_data are kept, 17 are refused")
    def _():
        pairs = {f"key{number}": "v" for number in range(16)}
        equal(api.create(meta_data=pairs).meta_data, pairs)
        refused(4003, lambda: api.create(meta_data=pairs | {"one": "more"}))

    @test("a meta_data key has 64 characters at most, a value 512")
    def _():
        fits = {"k" * 64: "v" * 512}
        equal(api.create(meta_data=fits).meta_data, fits)
        refused(4003, lambda: api.create(meta_data={"k" * 65: "v"}))
        refused(4003, lambda: api.create(meta_data={"k": "v" * 513}))

    @test("a name has 100 characters at most")
    def _():
        equal(api.create(name="\u00e9" * 100).name, "\u00e9" * 100)
        refused(4000, lambda: api.create(name="n" * 101))
        made = api.create(name="before")
        refused(4000, lambda: api.update(conversation_id=made.id, name="n" * 101))
        equal(api.retrieve(conversation_id=made.id).name, "before")

    @test("16 messages can be given at creation, 17 cannot")
    def _():
        message = Message.build_user_question_text("x")
        made = api.create(messages=[message] * 16)
        equal(len(api.messages.list(conversation_id=made.id).items), 16)
        refused(4000, lambda: api.create(messages=[message] * 17))


def changed(world):
    api = world.alice.client.conversations

    @test("a conversation is renamed, and nothing else of it changes")
    def _():
        made = api.create(name="old", meta_data={"a": "b"}, bot_id=world.bot)
        renamed = api.update(conversation_id=made.id, name="new")
        equal((renamed.id, renamed.name, renamed.meta_data), (made.id, "new", {"a": "b"}))
        equal(api.retrieve(conversation_id=made.id).name, "new")

    @test("a rename needs a name")
    def _():
        made = api.create(name="old")
        refused(4000, lambda: api.update(conversation_id=made.id, name=None))
        equal(api.retrieve(conversation_id=made.id).name, "old")

    @test("clearing begins a new section and keeps the messages")
    def _():
        made = api.create(messages=[Message.build_user_question_text("kept")])
        section = api.clear(conversation_id=made.id)
        equal(section.conversation_id, made.id)
        holds(section.id != made.last_section_id, "the section is the old one")
        equal(api.retrieve(conversation_id=made.id).last_section_id, section.id)
        rows = api.messages.list(conversation_id=made.id).items
        equal([row.content for row in rows], ["kept"])


def listed(world):
    api = world.bob.client.conversations
    url, headers = f"{world.url}/conversations", world.bob.headers
    for row in list(api.list(bot_id=world.bot)):
        api.delete(conversation_id=row.id)
    ids = [api.create(bot_id=world.bot, name=f"n{number}").id for number in range(5)]

    def page(query=""):
        answer = send("GET", f"{url}?bot_id={world.bot}{query}", headers=headers)
        equal(answer.json["code"], 0)
        return answer.json["data"]

    @test("conversations are listed newest first")
    def _():
        paged = api.list(bot_id=world.bot)
        equal([row.id for row in paged.items], ids[::-1])
        equal(paged.has_more, False)

    @test("the SDK pages through conversations without a gap or a double")
    def _():
        equal([row.id for row in api.list(bot_id=world.bot, page_size=2)], ids[::-1])

    @test("an exactly full page of conversations is the last one")
    def _():
        equal(api.list(bot_id=world.bot, page_size=5).has_more, False)
        equal(api.list(bot_id=world.bot, page_size=4).has_more, True)

    @test("conversations are listed oldest first when asked")
    def _():
        rows = page("&sort_order=ASC")["conversations"]
        equal([row["id"] for row in rows], ids)

    @test("a page beyond the end is empty")
    def _():
        equal(page("&page_num=9"), {"conversations": [], "has_more": False})

    @test("a page has 50 conversations at most")
    def _():
        refused(4000, lambda: api.list(bot_id=world.bot, page_size=51))

    @test("a bot_id that names no bot means the key's own")
    def _():
        equal([row.id for row in api.list(bot_id=UNKNOWN).items], ids[::-1])

    @test("another account's conversations are not listed")
    def _():
        rows = world.alice.client.conversations.list(bot_id=world.bot)
        equal([row.id for row in rows if row.id in ids], [])


def deleted(world):
    api, headers = world.alice.client.conversations, world.alice.headers

    @test("the SDK deletes a conversation")
    def _():
        api.delete(conversation_id=api.create().id)

    @test("a delete answers with a code, a text and a logid, and no data")
    def _():
        answer = send("DELETE", f"{world.url}/conversations/{api.create().id}", headers=headers)
        equal((answer.status, list(answer.json)), (200, ["code", "msg", "detail"]))
        equal((answer.json["code"], answer.json["msg"]), (0, ""))

    @test("a second delete finds nothing")
    def _():
        made = api.create()
        api.delete(conversation_id=made.id)
        refused(4200, lambda: api.delete(conversation_id=made.id))

    @test("nothing of a deleted conversation is found")
    def _():
        made = api.create(messages=[Message.build_user_question_text("x")], bot_id=world.bot)
        message = api.messages.list(conversation_id=made.id).items[0]
        api.delete(conversation_id=made.id)
        for call in calls(world.alice.client, made.id, message.id):
            refused(4200, call)
        equal([row for row in api.list(bot_id=world.bot) if row.id == made.id], [])

    @test("only the creator deletes, or finds anything at all")
    def _():
        made = api.create(messages=[Message.build_user_question_text("x")], name="mine")
        message = api.messages.list(conversation_id=made.id).items[0]
        for call in calls(world.bob.client, made.id, message.id):
            refused(4200, call)
        equal(api.retrieve(conversation_id=made.id).name, "mine")
        equal(len(api.messages.list(conversation_id=made.id).items), 1)

    @test("foreign, unknown and deleted are told alike")
    def _():
        foreign, gone = world.bob.client.conversations.create(), api.create()
        api.delete(conversation_id=gone.id)
        texts = set()
        for id in (foreign.id, UNKNOWN, gone.id):
            error = refused(4200, lambda: api.delete(conversation_id=id))
            texts.add(error.msg.replace(id, "ID"))
        equal(len(texts), 1)

    @test("an id that is no number is refused in Coze's words")
    def _():
        for id in ("x", "0", "-1", "9" * 40, "conv_1"):
            answer = send("DELETE", f"{world.url}/conversations/{id}", headers=headers)
            equal(answer.status, 200)
            holds(answer.json["code"] in (4000, 4200), f"{id}: {answer}")


def calls(client, conversation, message):
    """Everything that names a conversation."""
    api = client.conversations
    both = {"conversation_id": conversation, "message_id": message}
    one = {"conversation_id": conversation}
    new = {"role": "user", "content": "late", "content_type": "text"}
    return [
        lambda: api.retrieve(**one),
        lambda: api.update(**one, name="n"),
        lambda: api.clear(**one),
        lambda: api.messages.create(**one, **new),
        lambda: api.messages.list(**one),
        lambda: api.messages.retrieve(**both),
        lambda: api.messages.update(**both, content="c", content_type="text"),
        lambda: api.messages.delete(**both),
        lambda: api.delete(**one),
    ]
