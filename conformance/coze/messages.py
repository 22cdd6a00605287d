"""Messages: added, listed, read, modified, removed."""

import json

from conversations import UNKNOWN, refused
from cozepy import MessageContentType, MessageObjectString, MessageRole
from http_plain import send
from results import equal, holds, test

TEXT, OBJECTS = MessageContentType.TEXT, MessageContentType.OBJECT_STRING


def run(world):
    added(world)
    changed(world)
    listed(world)


def add(api, conversation, content="hello", role=MessageRole.USER, content_type=TEXT, **more):
    return api.messages.create(
        conversation_id=conversation.id, content=content, role=role, content_type=content_type, **more
    )


def added(world):
    api = world.alice.client.conversations

    @test("a message is added, and reads as it was added")
    def _():
        made = api.create(bot_id=world.bot)
        message = add(api, made, meta_data={"mood": "good"})
        equal((message.role, message.content, message.content_type), ("user", "hello", "text"))
        equal((message.conversation_id, message.meta_data), (made.id, {"mood": "good"}))
        holds(message.created_at and message.updated_at, "times")
        read = api.messages.retrieve(conversation_id=made.id, message_id=message.id)
        equal((read.id, read.content, read.meta_data), (message.id, "hello", {"mood": "good"}))
        equal(read.section_id, made.last_section_id)

    @test("an assistant's message is added too")
    def _():
        message = add(api, api.create(), role=MessageRole.ASSISTANT)
        equal(message.role, "assistant")

    @test("a message of several parts comes back as it was given")
    def _():
        parts = [
            MessageObjectString.build_text("what is this?"),
            MessageObjectString.build_image(file_url="https://example.com/a.png"),
        ]
        content = json.dumps([part.model_dump() for part in parts])
        made = api.create()
        message = add(api, made, content, content_type=OBJECTS)
        equal((json.loads(message.content), message.content_type), (json.loads(content), OBJECTS))
        read = api.messages.retrieve(conversation_id=made.id, message_id=message.id)
        equal(json.loads(read.content), json.loads(content))

    @test("a message can be retrieved with POST, as coze-java does")
    def _():
        made = api.create()
        message = add(api, made)
        query = f"conversation_id={made.id}&message_id={message.id}"
        url = f"{world.url}/conversation/message/retrieve?{query}"
        answer = send("POST", url, headers=world.alice.headers)
        equal((answer.json["code"], answer.json["data"]["id"]), (0, message.id))

    @test("a message of an unknown role or content_type is refused")
    def _():
        made = api.create()
        url = f"{world.url}/conversation/message/create?conversation_id={made.id}"
        whole = {"role": "user", "content": "x", "content_type": "text"}
        for change in ({"role": "king"}, {"content_type": "smell"}, {"role": None}, {"content": None}):
            answer = send("POST", url, whole | change, world.alice.headers)
            equal((answer.status, answer.json["code"]), (200, 4000))
        equal(api.messages.list(conversation_id=made.id).items, [])


def changed(world):
    api = world.alice.client.conversations

    @test("a message's content is modified")
    def _():
        made = api.create()
        message = add(api, made, meta_data={"a": "b"})
        both = {"conversation_id": made.id, "message_id": message.id}
        updated = api.messages.update(**both, content="new", content_type=TEXT)
        equal((updated.id, updated.content), (message.id, "new"))
        read = api.messages.retrieve(**both)
        equal((read.content, read.meta_data), ("new", {"a": "b"}))

    @test("a message's meta_data are modified alone")
    def _():
        made = api.create()
        message = add(api, made)
        both = {"conversation_id": made.id, "message_id": message.id}
        updated = api.messages.update(**both, meta_data={"c": "d"})
        equal((updated.content, updated.meta_data), ("hello", {"c": "d"}))

    @test("a modification has to modify something")
    def _():
        made = api.create()
        message = add(api, made)
        both = {"conversation_id": made.id, "message_id": message.id}
        refused(4000, lambda: api.messages.update(**both))

    @test("a message is removed, and answered once more")
    def _():
        made = api.create()
        first, second = add(api, made, "first"), add(api, made, "second")
        both = {"conversation_id": made.id, "message_id": first.id}
        gone = api.messages.delete(**both)
        equal((gone.id, gone.content), (first.id, "first"))
        refused(4200, lambda: api.messages.retrieve(**both))
        refused(4200, lambda: api.messages.delete(**both))
        equal([row.id for row in api.messages.list(conversation_id=made.id).items], [second.id])

    @test("a message is not found in another conversation")
    def _():
        made, other = api.create(), api.create()
        message = add(api, made)
        both = {"conversation_id": other.id, "message_id": message.id}
        refused(4200, lambda: api.messages.retrieve(**both))
        refused(4200, lambda: api.messages.update(**both, content="c", content_type=TEXT))
        refused(4200, lambda: api.messages.delete(**both))
        unknown = {"conversation_id": made.id, "message_id": UNKNOWN}
        refused(4200, lambda: api.messages.retrieve(**unknown))


def listed(world):
    api = world.alice.client.conversations

    @test("a list without messages has all its keys")
    def _():
        made = api.create()
        url = f"{world.url}/conversation/message/list?conversation_id={made.id}"
        answer = send("POST", url, headers=world.alice.headers).json
        del answer["detail"]
        wanted = {"code": 0, "msg": "", "data": [], "first_id": "", "last_id": "", "has_more": False}
        equal(answer, wanted)

    made = api.create()
    ids = [add(api, made, f"message {number}").id for number in range(60)]

    def page(**query):
        return api.messages.list(conversation_id=made.id, **query)

    @test("messages are listed newest first, 50 at a time")
    def _():
        first = page()
        equal([row.id for row in first.items], ids[:9:-1])
        equal((first.first_id, first.last_id, first.has_more), (ids[59], ids[10], True))

    @test("the SDK pages through 60 messages in both orders")
    def _():
        equal([row.id for row in page(limit=7)], ids[::-1])
        equal([row.id for row in page(limit=7, order="asc")], ids)

    @test("after goes on in the list's own order")
    def _():
        equal([row.id for row in page(after_id=ids[30], limit=2).items], [ids[29], ids[28]])
        rows = page(after_id=ids[30], limit=2, order="asc").items
        equal([row.id for row in rows], [ids[31], ids[32]])

    @test("before goes back in the list's own order")
    def _():
        rows = page(before_id=ids[57]).items
        equal([row.id for row in rows], [ids[59], ids[58]])

    @test("an exactly full page of messages is the last one")
    def _():
        full = page(after_id=ids[20], limit=20)
        equal((len(full.items), full.has_more), (20, False))

    @test("a page has 1 to 50 messages")
    def _():
        equal(len(page(limit=1).items), 1)
        refused(4000, lambda: page(limit=51))
        refused(4000, lambda: page(limit=-1))

    @test("limit 0 is none, as coze-go sends it")
    def _():
        equal(len(page(limit=0).items), 50)

    @test("messages of an unknown chat are none")
    def _():
        equal(page(chat_id=UNKNOWN).items, [])
