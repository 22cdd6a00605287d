"""Responses: made, chained, kept in conversations, read, deleted, listed."""

import base64

from conversations import bad, four_keys
from http_plain import send
from openai import NotFoundError
from pydantic import BaseModel
from results import equal, holds, raises, test
from scripted import MODEL, asked, read_by_model, script

PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
        "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
    )
).decode()


def run(flavour):
    made(flavour)
    parameters(flavour)
    in_conversations(flavour)
    chained(flavour)
    unstored(flavour)
    forms(flavour)
    cut_off(flavour)
    read(flavour)
    deleted(flavour)
    inputs(flavour)
    counted(flavour)
    compacted(flavour)
    listed(flavour)


def made(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a string is answered")
    def _():
        response = api.create(model=MODEL, input="hello")
        equal(response.output_text, "You said: hello")
        equal((response.object, response.status, response.store), ("response", "completed", True))
        equal((response.error, response.incomplete_details), (None, None))
        equal((response.model, response.previous_response_id), (MODEL, None))
        equal((response.instructions, response.metadata, response.conversation), (None, {}, None))
        holds(response.id.startswith("resp_"), response.id)

    @test(f"{name}: an answer is one message of the assistant")
    def _():
        [message] = api.create(model=MODEL, input="hello").output
        equal((message.type, message.role, message.status), ("message", "assistant", "completed"))
        holds(message.id.startswith("msg_"), message.id)
        [part] = message.content
        equal((part.type, part.text, part.annotations), ("output_text", "You said: hello", []))

    @test(f"{name}: an answer says what it cost")
    def _():
        usage = {
            "prompt_tokens": 11,
            "completion_tokens": 7,
            "total_tokens": 18,
            "prompt_tokens_details": {"cached_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 3},
        }
        got = api.create(model=MODEL, input=script(pieces=["x"], usage=usage)).usage
        equal((got.input_tokens, got.output_tokens, got.total_tokens), (11, 7, 18))
        equal(got.input_tokens_details.cached_tokens, 5)
        equal(got.output_tokens_details.reasoning_tokens, 3)

    @test(f"{name}: items are answered, in short form and in long")
    def _():
        response = api.create(
            model=MODEL,
            input=[
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "two"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "three"}]},
            ],
        )
        equal(response.output_text, "You said: three")
        said = read_by_model()
        equal([text for _, text in said], ["be brief", "one", "two", "three"])
        equal([role for role, _ in said][1:], ["user", "assistant", "user"])

    @test(f"{name}: images are shown to the model")
    def _():
        url = f"data:image/png;base64,{PIXEL}"
        content = [
            {"type": "input_text", "text": "what is this?"},
            {"type": "input_image", "image_url": url, "detail": "low"},
        ]
        response = api.create(model=MODEL, input=[{"role": "user", "content": content}])
        equal(response.output_text, "You said: what is this? [image_url]")
        image = asked()["messages"][-1]["content"][-1]["image_url"]
        equal((image["url"], image["detail"]), (url, "low"))

    @test(f"{name}: files are shown to the model")
    def _():
        data = f"data:application/pdf;base64,{base64.b64encode(b'%PDF-1.4').decode()}"
        content = [
            {"type": "input_text", "text": "read this"},
            {"type": "input_file", "filename": "a.pdf", "file_data": data},
        ]
        response = api.create(model=MODEL, input=[{"role": "user", "content": content}])
        equal(response.status, "completed")
        file = asked()["messages"][-1]["content"][-1]["file"]
        equal((file["filename"], file["file_data"]), ("a.pdf", data))

    @test(f"{name}: answers name the request for whoever reports it")
    def _():
        raw = api.with_raw_response.create(model=MODEL, input="hello")
        holds(raw.headers["x-request-id"], "no x-request-id")
        holds(raw.headers["apim-request-id"], "no apim-request-id")
        equal(raw.parse()._request_id, raw.headers["x-request-id"])


def parameters(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: what is asked for is given back, and reaches the model")
    def _():
        wanted = {
            "instructions": "Answer in French.",
            "max_output_tokens": 100,
            "metadata": {"topic": "demo"},
            "parallel_tool_calls": False,
            "temperature": 0.5,
            "top_p": 0.25,
            "truncation": "auto",
            "safety_identifier": "u-1",
            "prompt_cache_key": "k-1",
        }
        response = api.create(model=MODEL, input="hello", **wanted)
        equal({key: getattr(response, key) for key in wanted}, wanted)
        question = asked()
        equal((question["temperature"], question["top_p"]), (0.5, 0.25))
        equal(question.get("max_completion_tokens", question.get("max_tokens")), 100)
        equal(read_by_model()[0][1], "Answer in French.")
        equal(api.retrieve(response.id), response)

    @test(f"{name}: what is not asked for has its documented value")
    def _():
        response = api.create(model=MODEL, input="hello")
        equal((response.temperature, response.top_p, response.truncation), (1, 1, "disabled"))
        equal((response.parallel_tool_calls, response.tool_choice, response.tools), (True, "auto", []))
        equal((response.text.format.type, response.background), ("text", False))
        equal((response.max_output_tokens, response.user), (None, None))

    @test(f"{name}: reasoning effort and verbosity reach the model")
    def _():
        response = api.create(
            model=MODEL, input="hello", reasoning={"effort": "low"}, text={"verbosity": "high"}
        )
        equal((response.reasoning.effort, response.text.verbosity), ("low", "high"))
        question = asked()
        equal((question["reasoning_effort"], question["verbosity"]), ("low", "high"))

    @test(f"{name}: a model that nobody knows is the key's own")
    def _():
        equal(api.create(model="gpt-4o-mini", input="hello").status, "completed")

    @test(f"{name}: what the model thinks comes before what it says")
    def _():
        response = api.create(model=MODEL, input=script(reasoning=["so ", "then"], pieces=["yes"]))
        equal([item.type for item in response.output], ["reasoning", "message"])
        thought = response.output[0]
        texts = [part.text for part in (thought.content or [])] + [part.text for part in thought.summary]
        equal("".join(texts), "so then")
        equal(response.output_text, "yes")

    @test(f"{name}: a refusal is a part of its own")
    def _():
        response = api.create(model=MODEL, input=script(refusal=["I will ", "not"]))
        [part] = response.output[0].content
        equal((part.type, part.refusal), ("refusal", "I will not"))


def said_in(flavour, conversation):
    listed = flavour.client.conversations.items.list(conversation.id, order="asc").data
    return [(item.role, item.status, item.content[0].text) for item in listed]


def in_conversations(flavour):
    api, conversations, name = flavour.client.responses, flavour.client.conversations, flavour.name

    @test(f"{name}: question and answer are in the conversation")
    def _():
        conversation = conversations.create()
        response = api.create(model=MODEL, input="one", conversation=conversation.id)
        equal((response.conversation.id, response.previous_response_id), (conversation.id, None))
        exchange = [("user", "completed", "one"), ("assistant", "completed", "You said: one")]
        equal(said_in(flavour, conversation), exchange)
        last = conversations.items.list(conversation.id, limit=1).data
        equal([item.id for item in last], [response.output[0].id])

    @test(f"{name}: the model reads the conversation, given as an object too")
    def _():
        conversation = conversations.create(items=[{"role": "user", "content": "zero"}])
        api.create(model=MODEL, input="one", conversation={"id": conversation.id})
        api.create(model=MODEL, input="two", conversation={"id": conversation.id})
        read = [("user", "zero"), ("user", "one"), ("assistant", "You said: one"), ("user", "two")]
        equal(read_by_model(), read)
        equal(len(said_in(flavour, conversation)), 5)

    @test(f"{name}: instructions are no part of the conversation")
    def _():
        conversation = conversations.create()
        api.create(model=MODEL, input="one", conversation=conversation.id, instructions="be kind")
        equal(len(said_in(flavour, conversation)), 2)
        api.create(model=MODEL, input="two", conversation=conversation.id)
        holds(("system", "be kind") not in read_by_model(), f"{read_by_model()}")

    @test(f"{name}: an unknown conversation is not made")
    def _():
        unknown = f"conv_{'0' * 32}"
        error = raises(NotFoundError, lambda: api.create(model=MODEL, input="x", conversation=unknown))
        equal(error.body["message"], f"Conversation with id '{unknown}' not found.")

    @test(f"{name}: what is made in a conversation goes with it")
    def _():
        conversation = conversations.create()
        response = api.create(model=MODEL, input="one", conversation=conversation.id)
        conversations.delete(conversation.id)
        raises(NotFoundError, lambda: api.retrieve(response.id))
        raises(NotFoundError, lambda: api.input_items.list(response.id))
        raises(NotFoundError, lambda: api.delete(response.id))


def chained(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a response goes on from another")
    def _():
        first = api.create(model=MODEL, input="one", instructions="be kind")
        second = api.create(model=MODEL, input="two", previous_response_id=first.id)
        equal((second.previous_response_id, second.conversation), (first.id, None))
        # Instructions are not carried over.
        equal(read_by_model(), [("user", "one"), ("assistant", "You said: one"), ("user", "two")])
        api.create(model=MODEL, input="three", previous_response_id=second.id)
        equal(len(read_by_model()), 5)

    @test(f"{name}: two responses can go on from the same one")
    def _():
        first = api.create(model=MODEL, input="one")
        api.create(model=MODEL, input="left", previous_response_id=first.id)
        api.create(model=MODEL, input="right", previous_response_id=first.id)
        equal(read_by_model(), [("user", "one"), ("assistant", "You said: one"), ("user", "right")])

    @test(f"{name}: a chain can begin in a conversation, and leaves it as it is")
    def _():
        conversation = flavour.client.conversations.create()
        first = api.create(model=MODEL, input="one", conversation=conversation.id)
        second = api.create(model=MODEL, input="two", previous_response_id=first.id)
        equal(second.conversation, None)
        equal(len(read_by_model()), 3)
        equal(len(said_in(flavour, conversation)), 2)

    @test(f"{name}: an unknown response cannot be gone on from")
    def _():
        unknown = f"resp_{'0' * 32}"
        call = lambda: api.create(model=MODEL, input="x", previous_response_id=unknown)  # noqa: E731
        error = bad(call, "previous_response_not_found", "previous_response_id")
        equal(error.body["message"], f"Previous response with id '{unknown}' not found.")


def unstored(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: what is not stored cannot be read or gone on from")
    def _():
        response = api.create(model=MODEL, input="hello", store=False)
        equal((response.store, response.output_text), (False, "You said: hello"))
        raises(NotFoundError, lambda: api.retrieve(response.id))
        raises(NotFoundError, lambda: api.delete(response.id))
        call = lambda: api.create(model=MODEL, input="x", previous_response_id=response.id)  # noqa: E731
        bad(call, "previous_response_not_found", "previous_response_id")

    @test(f"{name}: what is not stored can go on from what is")
    def _():
        first = api.create(model=MODEL, input="one")
        api.create(model=MODEL, input="two", previous_response_id=first.id, store=False)
        equal(len(read_by_model()), 3)

    @test(f"{name}: a program can keep the history itself")
    def _():
        history = [{"role": "user", "content": "one"}]
        first = api.create(model=MODEL, input=history, store=False)
        history += first.output
        history.append({"role": "user", "content": "two"})
        second = api.create(model=MODEL, input=history, store=False)
        equal(second.output_text, "You said: two")
        equal(read_by_model(), [("user", "one"), ("assistant", "You said: one"), ("user", "two")])


class Place(BaseModel):
    name: str
    population: int
    tags: list[str]


def forms(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: an answer is parsed into a class")
    def _():
        response = api.parse(model=MODEL, input="a place", text_format=Place)
        equal(response.output_parsed, Place(name="text", population=1, tags=["text"]))
        equal(response.output[0].content[0].parsed, response.output_parsed)
        form = response.text.format
        equal((form.type, form.name, form.strict), ("json_schema", "Place", True))
        wanted = asked()["response_format"]
        equal((wanted["type"], wanted["json_schema"]["name"]), ("json_schema", "Place"))
        equal(wanted["json_schema"]["schema"]["required"], ["name", "population", "tags"])

    @test(f"{name}: an answer is an object of JSON")
    def _():
        response = api.create(model=MODEL, input="JSON!", text={"format": {"type": "json_object"}})
        equal(response.output_text, '{"said":"You said: JSON!"}')
        equal(response.text.format.type, "json_object")


def cut_off(flavour):
    api, name = flavour.client.responses, flavour.name

    for reason, told in (("length", "max_output_tokens"), ("content_filter", "content_filter")):

        @test(f"{name}: an answer that ends for {reason} is incomplete")
        def _(reason=reason, told=told):
            response = api.create(model=MODEL, input=script(pieces=["so ", "far"], finish_reason=reason))
            equal((response.status, response.incomplete_details.reason), ("incomplete", told))
            equal((response.output_text, response.output[0].status), ("so far", "incomplete"))
            equal(api.retrieve(response.id), response)


def read(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a response reads as it was made")
    def _():
        response = api.create(model=MODEL, input="hello", metadata={"a": "b"})
        equal(api.retrieve(response.id), response)
        equal(api.retrieve(response.id, include=["message.output_text.logprobs"]), response)

    @test(f"{name}: an unknown response is not found")
    def _():
        for unknown in (f"resp_{'0' * 32}", f"resp_{'0' * 50}"):
            error = raises(NotFoundError, lambda: api.retrieve(unknown))
            equal(error.body["message"], f"Response with id '{unknown}' not found.")
            equal((error.code, error.param), (None, None))
            raises(NotFoundError, lambda: api.cancel(unknown))
            raises(NotFoundError, lambda: api.input_items.list(unknown))


def deleted(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a response is deleted, once")
    def _():
        response = api.create(model=MODEL, input="hello")
        equal(api.delete(response.id), None)
        raises(NotFoundError, lambda: api.retrieve(response.id))
        raises(NotFoundError, lambda: api.input_items.list(response.id))
        raises(NotFoundError, lambda: api.delete(response.id))
        call = lambda: api.create(model=MODEL, input="x", previous_response_id=response.id)  # noqa: E731
        bad(call, "previous_response_not_found", "previous_response_id")

    @test(f"{name}: a delete says what it has deleted, and names its receipt")
    def _():
        response = api.create(model=MODEL, input="hello")
        answer = send("DELETE", f"{flavour.url}/responses/{response.id}", headers=flavour.headers)
        equal(answer.json, {"id": response.id, "object": "response", "deleted": True})
        holds(answer.headers.get("parlance-erasure-receipt", "").startswith("er_"), f"{answer.headers}")

    @test(f"{name}: a response of a conversation is deleted, and what was said stays")
    def _():
        conversation = flavour.client.conversations.create()
        response = api.create(model=MODEL, input="one", conversation=conversation.id)
        api.delete(response.id)
        raises(NotFoundError, lambda: api.retrieve(response.id))
        equal(len(said_in(flavour, conversation)), 2)


def inputs(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: what was asked can be read page by page")
    def _():
        texts = [f"item {at}" for at in range(5)]
        response = api.create(model=MODEL, input=[{"role": "user", "content": text} for text in texts])
        items = api.input_items.list(response.id, limit=2, order="asc")
        equal([item.content[0].text for item in items.data], texts[:2])
        oldest = [item for item in api.input_items.list(response.id, limit=2, order="asc")]
        equal([item.content[0].text for item in oldest], texts)
        newest = [item for item in api.input_items.list(response.id, limit=2)]
        equal([item.content[0].text for item in newest], texts[::-1])
        equal({item.id.split("_")[0] for item in oldest}, {"msg"})

    @test(f"{name}: a string that was asked is an item")
    def _():
        response = api.create(model=MODEL, input="hello")
        [item] = api.input_items.list(response.id).data
        equal((item.type, item.role, item.status), ("message", "user", "completed"))
        equal((item.content[0].type, item.content[0].text), ("input_text", "hello"))

    @test(f"{name}: too many at a time are refused")
    def _():
        response = api.create(model=MODEL, input="hello")
        bad(lambda: api.input_items.list(response.id, limit=101), "integer_above_max_value", "limit")


def counted(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: input is counted before it is sent")
    def _():
        few = api.input_tokens.count(model=MODEL, input="hello")
        equal(few.object, "response.input_tokens")
        many = api.input_tokens.count(model=MODEL, input="hello " * 200, instructions="be kind")
        holds(0 < few.input_tokens < many.input_tokens, f"{few} {many}")

    @test(f"{name}: what comes before counts too")
    def _():
        alone = api.input_tokens.count(model=MODEL, input="hello").input_tokens
        first = api.create(model=MODEL, input="a longer beginning " * 20)
        after = api.input_tokens.count(model=MODEL, input="hello", previous_response_id=first.id)
        holds(after.input_tokens > alone + 20, f"{after}")
        conversation = flavour.client.conversations.create(items=[{"role": "user", "content": "so " * 50}])
        within = api.input_tokens.count(model=MODEL, input="hello", conversation=conversation.id)
        holds(within.input_tokens > alone + 20, f"{within}")
        equal(len(said_in(flavour, conversation)), 1)


def compacted(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: what was said is compacted, and goes on from there")
    def _():
        history = [
            {"role": "user", "content": "My name is Ada."},
            {"role": "assistant", "content": "Hello, Ada."},
            {"role": "user", "content": "Remember it."},
        ]
        compact = api.compact(model=MODEL, input=history)
        equal(compact.object, "response.compaction")
        holds(compact.id.startswith("resp_"), compact.id)
        item = compact.output[-1]
        equal(item.type, "compaction")
        holds(item.id.startswith("cmp_") and item.encrypted_content, f"{item}")
        holds(compact.usage.total_tokens >= 0, "no usage")
        next_input = [*compact.output, {"role": "user", "content": "go on"}]
        response = api.create(model=MODEL, input=next_input)
        equal(response.output_text, "You said: go on")

    @test(f"{name}: a chain is compacted")
    def _():
        first = api.create(model=MODEL, input="My name is Ada.")
        compact = api.compact(model=MODEL, previous_response_id=first.id)
        equal(compact.output[-1].type, "compaction")


def listed(flavour):
    api, name = flavour.client.responses, flavour.name

    def page(query):
        return send("GET", f"{flavour.url}/responses?{query}", headers=flavour.headers).json

    @test(f"{name}: responses are listed, as Foundry lists them")
    def _():
        conversation = flavour.client.conversations.create()
        ids = [
            api.create(model=MODEL, input=f"{at}", conversation=conversation.id).id for at in range(3)
        ]
        alone = api.create(model=MODEL, input="alone").id
        newest = page("limit=4")
        equal([row["id"] for row in newest["data"]], [alone, *ids[::-1]])
        equal((newest["first_id"], newest["last_id"]), (alone, ids[0]))
        within = page(f"conversation_id={conversation.id}&order=asc&limit=2")
        equal([row["id"] for row in within["data"]], ids[:2])
        equal(within["has_more"], True)
        rest = page(f"conversation_id={conversation.id}&order=asc&after={within['last_id']}")
        equal(([row["id"] for row in rest["data"]], rest["has_more"]), (ids[2:], False))

    @test(f"{name}: a wrong order of a list is refused")
    def _():
        answer = send("GET", f"{flavour.url}/responses?order=up", headers=flavour.headers)
        four_keys(answer, 400, "invalid_value", "order")
