"""Chats: streamed, polled, canceled, and not kept."""

from conversations import UNKNOWN, refused
from cozepy import ChatEventType, ChatStatus, Message, MessageType
from http_plain import send
from results import equal, holds, test
from scripted import Gate, asked, read_by_model, script

USER = "somebody"
LIFE = [ChatEventType.CONVERSATION_CHAT_CREATED, ChatEventType.CONVERSATION_CHAT_IN_PROGRESS]
END = [
    ChatEventType.CONVERSATION_MESSAGE_COMPLETED,
    ChatEventType.CONVERSATION_MESSAGE_COMPLETED,
    ChatEventType.CONVERSATION_CHAT_COMPLETED,
]


def run(world):
    streamed(world)
    polled(world)
    running(world)
    unkept(world)
    checked(world)


def question(text):
    return [Message.build_user_question_text(text)]


def held(gate):
    """A question whose answer waits at the gate."""
    return question(script(steps=[{"text": "one "}, {"gate": gate.name}, {"text": "two"}]))


def deltas(events):
    return [event.message for event in events if event.event == ChatEventType.CONVERSATION_MESSAGE_DELTA]


def streamed(world):
    chat = world.alice.client.chat

    def stream(text, **more):
        events = chat.stream(bot_id=world.bot, user_id=USER, additional_messages=question(text), **more)
        return list(events)

    @test("a chat is streamed, event by event")
    def _():
        events = stream(script(pieces=["one ", "two ", "three"]))
        kinds = [event.event for event in events]
        equal(kinds[:2], LIFE)
        equal(kinds[-3:], END)
        equal(set(kinds[2:-3]), {ChatEventType.CONVERSATION_MESSAGE_DELTA})
        equal("".join(message.content for message in deltas(events)), "one two three")
        answer, last = events[-3].message, events[-2].message
        equal((answer.type, answer.content, answer.role), (MessageType.ANSWER, "one two three", "assistant"))
        equal({message.id for message in deltas(events)}, {answer.id})
        equal(last.type, MessageType.VERBOSE)
        holds("generate_answer_finish" in last.content, last.content)

    @test("a chat says what it cost in the end")
    def _():
        usage = {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}
        end = stream(script(pieces=["x"], usage=usage))[-1].chat
        equal((end.status, end.usage.token_count), (ChatStatus.COMPLETED, 21))
        equal((end.usage.input_count, end.usage.output_count), (12, 9))
        holds(end.completed_at >= end.created_at, "it ends after it has begun")

    @test("what the model thinks is told apart")
    def _():
        events = stream(script(reasoning=["so ", "be it"], pieces=["yes"]))
        thought = [message.reasoning_content for message in deltas(events) if message.reasoning_content]
        equal("".join(thought), "so be it")
        equal((events[-3].message.content, events[-3].message.reasoning_content), ("yes", "so be it"))

    @test("a refusal is text")
    def _():
        equal(stream(script(refusal=["I will ", "not"]))[-3].message.content, "I will not")

    @test("a chat that fails says why")
    def _():
        events = stream(script(status=400, error={"message": "too much", "type": "invalid_request_error"}))
        equal(events[-1].event, ChatEventType.CONVERSATION_CHAT_FAILED)
        error = events[-1].chat.last_error
        equal((events[-1].chat.status, error.code), (ChatStatus.FAILED, 4013))
        holds("too much" in error.msg, error.msg)

    @test("the next chat of a conversation reads the one before")
    def _():
        first = stream(script(pieces=["blue"]))
        stream("and now?", conversation_id=first[0].chat.conversation_id)
        equal(read_by_model()[1:], [("assistant", "blue"), ("user", "and now?")])

    @test("a cleared conversation begins anew")
    def _():
        id = stream("before")[0].chat.conversation_id
        world.alice.client.conversations.clear(conversation_id=id)
        stream("after", conversation_id=id)
        equal(read_by_model(), [("user", "after")])


def polled(world):
    chat, api = world.alice.client.chat, world.alice.client.conversations

    @test("a chat is begun, polled and read, as the SDK does it")
    def _():
        text = script(pieces=["one ", "two"])
        poll = chat.create_and_poll(bot_id=world.bot, user_id=USER, additional_messages=question(text))
        equal(poll.chat.status, ChatStatus.COMPLETED)
        equal([(row.type, row.content) for row in poll.messages], [(MessageType.ANSWER, "one two")])
        rows = api.messages.list(conversation_id=poll.chat.conversation_id, order="asc").items
        equal([row.content for row in rows], [text, "one two"])
        equal({row.chat_id for row in rows}, {poll.chat.id})

    @test("a chat keeps its meta_data")
    def _():
        made = chat.create(
            bot_id=world.bot, user_id=USER, additional_messages=question("hi"), meta_data={"a": "b"}
        )
        equal((made.status, made.meta_data), (ChatStatus.IN_PROGRESS, {"a": "b"}))
        read = chat.retrieve(conversation_id=made.conversation_id, chat_id=made.id)
        equal(read.meta_data, {"a": "b"})

    @test("a chat can be retrieved with GET, as the vendor's page has it")
    def _():
        made = chat.create(bot_id=world.bot, user_id=USER, additional_messages=question("hi"))
        query = f"conversation_id={made.conversation_id}&chat_id={made.id}"
        url = f"{world.url.removesuffix('/v1')}/v3/chat/retrieve?{query}"
        answer = send("GET", url, headers=world.alice.headers).json
        equal((answer["code"], answer["data"]["id"]), (0, made.id))


def running(world):
    chat = world.alice.client.chat

    def begin(gate):
        return chat.create(bot_id=world.bot, user_id=USER, additional_messages=held(gate))

    @test("a second chat is refused while the first one runs")
    def _():
        gate = Gate()
        made = begin(gate)
        again = {"bot_id": world.bot, "user_id": USER, "conversation_id": made.conversation_id}
        refused(4016, lambda: chat.create(**again, additional_messages=question("and?")))
        refused(4016, lambda: list(chat.stream(**again, additional_messages=question("and?"))))
        gate.open()

    @test("a chat is canceled; one that is over is not")
    def _():
        gate = Gate()
        made = begin(gate)
        both = {"conversation_id": made.conversation_id, "chat_id": made.id}
        equal(chat.cancel(**both).status, "canceled")
        equal(chat.retrieve(**both).status, "canceled")
        gate.open()
        done = chat.create_and_poll(bot_id=world.bot, user_id=USER, additional_messages=question("hi")).chat
        refused(4104, lambda: chat.cancel(conversation_id=done.conversation_id, chat_id=done.id))

    @test("nobody else finds a chat, reads or cancels it")
    def _():
        gate = Gate()
        made = begin(gate)
        both = {"conversation_id": made.conversation_id, "chat_id": made.id}
        bob = world.bob.client.chat
        refused(4200, lambda: bob.retrieve(**both))
        refused(4200, lambda: bob.messages.list(**both))
        refused(4200, lambda: bob.cancel(**both))
        gate.open()

    @test("deleting a conversation ends its chat's stream")
    def _():
        gate = Gate()
        events = iter(chat.stream(bot_id=world.bot, user_id=USER, additional_messages=held(gate)))
        first = next(events).chat
        world.alice.client.conversations.delete(conversation_id=first.conversation_id)
        try:
            list(events)
        except Exception as error:  # cozepy raises a plain one for `event:error`
            holds("4200" in str(error), f"{error}")
        else:
            raise AssertionError("the stream ended as if nothing had happened")
        gate.open()


def unkept(world):
    client = world.alice.client

    @test("a chat that is not kept reads its conversation and leaves nothing in it")
    def _():
        made = client.conversations.create(bot_id=world.bot, messages=question("first"))
        stream = client.chat.stream(
            bot_id=world.bot, user_id=USER, conversation_id=made.id, auto_save_history=False,
            additional_messages=question("second"),
        )
        chat = list(stream)[0].chat
        equal(read_by_model(), [("user", "first"), ("user", "second")])
        rows = client.conversations.messages.list(conversation_id=made.id).items
        equal([row.content for row in rows], ["first"])
        refused(4200, lambda: client.chat.retrieve(conversation_id=made.id, chat_id=chat.id))

    @test("what is not streamed has to be kept")
    def _():
        body = {"bot_id": world.bot, "user_id": USER, "stream": False, "auto_save_history": False}
        body["additional_messages"] = [{"role": "user", "content": "hi", "content_type": "text"}]
        url = f"{world.url.removesuffix('/v1')}/v3/chat"
        equal(send("POST", url, body, world.alice.headers).json["code"], 4007)


def checked(world):
    client = world.alice.client
    url = f"{world.url.removesuffix('/v1')}/v3/chat"

    @test("an unknown conversation is not made by a chat")
    def _():
        refused(4200, lambda: client.chat.create(
            bot_id=world.bot, user_id=USER, conversation_id=UNKNOWN, additional_messages=question("hi")
        ))

    @test("something has to be asked")
    def _():
        refused(4000, lambda: client.chat.create(bot_id=world.bot, user_id=USER))

    @test("a picture is read by the model")
    def _():
        from cozepy import MessageObjectString

        parts = [
            MessageObjectString.build_text("what is this?"),
            MessageObjectString.build_image(file_url="https://example.com/a.png"),
        ]
        messages = [Message.build_user_question_objects(parts)]
        list(client.chat.stream(bot_id=world.bot, user_id=USER, additional_messages=messages))
        kinds = [part["type"] for part in asked()["messages"][-1]["content"]]
        equal(kinds, ["text", "image_url"])

    @test("where a chat begins, a wrong token is answered with 200, as on the cloud")
    def _():
        body = {"bot_id": world.bot, "user_id": USER}
        answer = send("POST", url, body, {"authorization": "Bearer pat_wrong"})
        equal((answer.status, answer.json["code"]), (200, 4101))

    @test("without the permission there is no chat")
    def _():
        refused(4101, lambda: world.reader.client.chat.create(
            bot_id=world.bot, user_id=USER, additional_messages=question("hi")
        ))
