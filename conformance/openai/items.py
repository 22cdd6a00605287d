"""Items: added, listed, read, removed."""

from conversations import bad, four_keys
from http_plain import send
from openai import NotFoundError
from results import equal, holds, raises, test

USER = {"role": "user", "content": "hello"}


def run(flavour):
    messages(flavour)
    other_types(flavour)
    opaque(flavour)
    refused(flavour)
    listed(flavour)
    paged(flavour)
    removed(flavour)


def numbered(count):
    return [{"role": "user", "content": f"item {number}"} for number in range(count)]


def texts(items):
    return [item.content[0].text for item in items]


def messages(flavour):
    api, name = flavour.client.conversations, flavour.name

    def add(item):
        """The item as it was answered, after checking that it reads the same."""
        conversation = api.create()
        page = api.items.create(conversation.id, items=[item])
        equal((page.object, page.has_more, len(page.data)), ("list", False, 1))
        added = page.data[0]
        equal((page.first_id, page.last_id), (added.id, added.id))
        equal(api.items.retrieve(added.id, conversation_id=conversation.id), added)
        equal(api.items.list(conversation.id).data, [added])
        return added

    @test(f"{name}: a user's text becomes one input_text part")
    def _():
        added = add(USER)
        equal((added.type, added.role, added.status), ("message", "user", "completed"))
        equal([part.to_dict() for part in added.content], [{"type": "input_text", "text": "hello"}])
        holds(added.id.startswith("msg_"), added.id)

    @test(f"{name}: system and developer texts become input_text too")
    def _():
        for role in ("system", "developer"):
            added = add({"type": "message", "role": role, "content": "rule"})
            equal((added.role, added.content[0].type), (role, "input_text"))

    @test(f"{name}: an assistant's text becomes one output_text part with its lists")
    def _():
        part = add({"role": "assistant", "content": "hi"}).content[0].to_dict()
        equal(part, {"type": "output_text", "annotations": [], "logprobs": [], "text": "hi"})

    @test(f"{name}: parts come back as they were given")
    def _():
        parts = [
            {"type": "input_text", "text": "what is this?"},
            {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
            {"type": "input_file", "file_id": "file_1", "filename": "a.pdf"},
        ]
        added = add({"type": "message", "role": "user", "content": parts})
        equal([part.to_dict() for part in added.content], parts)

    @test(f"{name}: an assistant's annotations come back as they were given")
    def _():
        annotation = {
            "type": "url_citation", "url": "https://example.com", "title": "t",
            "start_index": 0, "end_index": 2,
        }
        part = {"type": "output_text", "text": "hi", "annotations": [annotation]}
        added = add({"type": "message", "role": "assistant", "content": [part]})
        equal(added.content[0].annotations[0].to_dict(), annotation)

    @test(f"{name}: a refusal comes back as it was given")
    def _():
        part = {"type": "refusal", "refusal": "I cannot help with that."}
        added = add({"type": "message", "role": "assistant", "content": [part]})
        equal(added.content[0].to_dict(), part)

    @test(f"{name}: a user's message may have the phase commentary")
    def _():
        equal(add(USER | {"phase": "commentary"}).phase, "commentary")

    @test(f"{name}: a status that is no status becomes completed, incomplete stays")
    def _():
        equal(add({"type": "message", "status": None, **USER}).status, "completed")
        message = {"type": "message", "role": "assistant", "content": "cut", "status": "incomplete"}
        equal(add(message).status, "incomplete")

    @test(f"{name}: an item keeps the id that its maker gave it")
    def _():
        equal(add({"type": "message", "id": "msg_mine", **USER}).id, "msg_mine")

    @test(f"{name}: items of one call keep their order")
    def _():
        conversation = api.create()
        page = api.items.create(conversation.id, items=numbered(20))
        equal(texts(page.data), [f"item {number}" for number in range(20)])
        equal((page.first_id, page.last_id), (page.data[0].id, page.data[-1].id))
        equal(len({item.id for item in page.data}), 20)


def other_types(flavour):
    api, name = flavour.client.conversations, flavour.name
    kinds = [
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "so"}]},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "opaque"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed",
         "action": {"type": "search", "query": "q", "queries": ["q"]}},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "t", "input": "in"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "out"},
        {"type": "mcp_approval_response", "id": "mcpa_1", "approval_request_id": "mcpr_1",
         "approve": True, "request_id": "r"},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "opaque"},
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "call_3", "status": "completed",
         "action": {"type": "exec", "command": ["ls"], "env": {}}},
    ]
    for number, item in enumerate(kinds):

        @test(f"{name}: an item of type {item['type']} ({number}) keeps all its fields")
        def _():
            conversation = api.create()
            added = api.items.create(conversation.id, items=[item]).data[0]
            got = added.to_dict()
            equal({key: got.get(key) for key in item}, item)
            equal(got["status"], item.get("status", "completed"))
            holds(isinstance(got["id"], str) and got["id"], "no id")
            equal(api.items.retrieve(added.id, conversation_id=conversation.id), added)


def opaque(flavour):
    api, name = flavour.client.conversations, flavour.name

    def kept(item, pieces):
        """Every piece of the item's text is in what is answered and in what is read."""
        url = f"{flavour.url}/conversations/{api.create().id}/items"
        headers = flavour.headers | {"content-type": "application/json"}
        answer = send("POST", url, headers=headers, raw=f'{{"items":[{item}]}}')
        equal(answer.status, 200)
        id = answer.json["data"][0]["id"]
        for text in (answer.text, send("GET", f"{url}/{id}", headers=headers).text):
            for piece in pieces:
                holds(piece in text, f"{piece} in {text}")

    @test(f"{name}: an item of a type of the future keeps its fields and their order")
    def _():
        fields = '"z":1,"a":{"deep":[null,true,{"x":[]}]},"m":{"b":"","a":{}}'
        kept(f'{{"type":"telepathy_call",{fields}}}', [fields])

    @test(f"{name}: the text of a number is kept")
    def _():
        numbers = ['"a":12345678901234567890123', '"b":1.10', '"c":-0', '"d":0.10e-7']
        kept(f'{{"type":"telepathy_call",{",".join(numbers)}}}', numbers)

    @test(f"{name}: the text of a number with a bare or capital exponent is kept")
    def _():
        numbers = ['"a":1e2', '"b":1E2', '"c":1E+2']
        kept(f'{{"type":"telepathy_call",{",".join(numbers)}}}', numbers)

    @test(f"{name}: fields that nobody knows come back in messages and their parts")
    def _():
        part = {"type": "input_text", "text": "hi", "future": {"n": [1, 2.5]}}
        item = {"type": "message", "role": "user", "content": [part], "future": "kept"}
        got = api.items.create(api.create().id, items=[item]).data[0].to_dict()
        equal((got["future"], got["content"]), ("kept", [part]))

    @test(f"{name}: an item can be referred to by its id")
    def _():
        conversation = api.create(items=[USER])
        item = api.items.list(conversation.id).data[0]
        reference = [{"type": "item_reference", "id": item.id}]
        added = api.items.create(conversation.id, items=reference).data[0]
        equal((added.type, texts([added])), ("message", ["hello"]))

    @test(f"{name}: what may be included may be asked for")
    def _():
        conversation = api.create(items=[USER])
        include = ["message.output_text.logprobs", "reasoning.encrypted_content"]
        equal(len(api.items.list(conversation.id, include=include).data), 1)
        url = f"{flavour.url}/conversations/{conversation.id}/items?include=bogus.thing"
        answer = send("GET", url, headers=flavour.headers)
        four_keys(answer, 400, "invalid_value", "include[0]")


def refused(flavour):
    api, name = flavour.client.conversations, flavour.name

    def refuse(items, code, param):
        conversation = api.create()
        bad(lambda: api.items.create(conversation.id, items=items), code, param)
        equal(api.items.list(conversation.id).data, [])

    @test(f"{name}: 20 items can be added at a time, 21 cannot")
    def _():
        conversation = api.create()
        equal(len(api.items.create(conversation.id, items=numbered(20)).data), 20)
        refuse(numbered(21), "array_above_max_length", "items")

    @test(f"{name}: items must be given")
    def _():
        url = f"{flavour.url}/conversations/{api.create().id}/items"
        four_keys(send("POST", url, {}, flavour.headers), 400, "missing_required_parameter", "items")

    @test(f"{name}: of a call with one bad item nothing is added")
    def _():
        refuse([USER, {"role": "user"}], "missing_required_parameter", "items[1].content")

    @test(f"{name}: an item without anything is refused")
    def _():
        refuse([{}], "invalid_value", "items[0]")

    @test(f"{name}: a part of an unknown type is refused")
    def _():
        items = [{"role": "user", "content": [{"type": "bogus"}]}]
        refuse(items, "invalid_value", "items[0].content[0].type")

    @test(f"{name}: a user does not say output_text")
    def _():
        items = [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]
        refuse(items, "invalid_value", "items[0].content[0]")

    @test(f"{name}: an input_text part has a text")
    def _():
        items = [{"role": "user", "content": [{"type": "input_text"}]}]
        refuse(items, "missing_required_parameter", "items[0].content[0].text")

    @test(f"{name}: an id that is in the conversation already is refused")
    def _():
        conversation = api.create()
        mine = [{"type": "message", "id": "msg_mine", **USER}]
        api.items.create(conversation.id, items=mine)
        again = lambda: api.items.create(conversation.id, items=mine)
        bad(again, "item_already_in_conversation", "items")
        equal(len(api.items.list(conversation.id).data), 1)

    @test(f"{name}: the same id in another conversation is another item")
    def _():
        first, second = api.create(), api.create()
        for conversation, text in ((first, "one"), (second, "two")):
            item = {"type": "message", "id": "msg_mine", "role": "user", "content": text}
            api.items.create(conversation.id, items=[item])
        equal(texts(api.items.list(first.id).data), ["one"])
        equal(texts(api.items.list(second.id).data), ["two"])


def listed(flavour):
    api, name = flavour.client.conversations, flavour.name

    @test(f"{name}: a list without items is a valid page")
    def _():
        url = f"{flavour.url}/conversations/{api.create().id}/items"
        wanted = {"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False}
        equal(send("GET", url, headers=flavour.headers).json, wanted)

    conversation = api.create()
    ids = []
    for _ in range(2):
        ids += [item.id for item in api.items.create(conversation.id, items=numbered(15)).data]
    url = f"{flavour.url}/conversations/{conversation.id}/items"

    def page(**query):
        return api.items.list(conversation.id, **query)

    @test(f"{name}: items are listed newest first, 20 at a time")
    def _():
        got = page()
        equal([item.id for item in got.data], ids[:9:-1])
        equal((got.has_more, got.last_id), (True, ids[10]))

    @test(f"{name}: items are listed oldest first when asked")
    def _():
        equal([item.id for item in page(order="asc", limit=5).data], ids[:5])

    @test(f"{name}: a page begins after the item that is named")
    def _():
        equal([item.id for item in page(after=ids[5], limit=3).data], ids[4:1:-1])
        equal([item.id for item in page(after=ids[5], order="asc", limit=3).data], ids[6:9])

    @test(f"{name}: Foundry's before turns back")
    def _():
        answer = send("GET", f"{url}?order=asc&before={ids[3]}", headers=flavour.headers)
        equal([item["id"] for item in answer.json["data"]], ids[:3])

    @test(f"{name}: Foundry's item_type narrows the list")
    def _():
        mixed = api.create(items=[USER, {"type": "reasoning", "summary": []}])
        query = f"{flavour.url}/conversations/{mixed.id}/items?item_type=reasoning"
        answer = send("GET", query, headers=flavour.headers)
        equal([item["type"] for item in answer.json["data"]], ["reasoning"])

    @test(f"{name}: an exactly full page of items is the last one")
    def _():
        equal((page(limit=30).has_more, page(limit=29).has_more), (False, True))

    @test(f"{name}: limit 100 is allowed, 101 is refused as OpenAI does")
    def _():
        equal(len(page(limit=100).data), 30)
        answer = send("GET", f"{url}?limit=101", headers=flavour.headers)
        said = (
            "Invalid 'limit': integer above maximum value. "
            "Expected a value <= 100, but got 101 instead."
        )
        four_keys(answer, 400, "integer_above_max_value", "limit", said)

    @test(f"{name}: limit -1, a limit that is no number and an unknown order are refused")
    def _():
        wanted = {
            "limit=-1": ("integer_below_min_value", "limit"),
            "limit=x": ("invalid_type", "limit"),
            "order=sideways": ("invalid_value", "order"),
        }
        for query, (code, param) in wanted.items():
            four_keys(send("GET", f"{url}?{query}", headers=flavour.headers), 400, code, param)

    @test(f"{name}: limit 0 is a valid page")
    def _():
        equal(page(limit=0).data, [])

    @test(f"{name}: an after that nobody knows is a valid page")
    def _():
        for after in ("msg_unknown", f"msg_{'0' * 32}", "x"):
            holds(isinstance(page(after=after).data, list))


def paged(flavour):
    api, name = flavour.client.conversations, flavour.name
    conversation = api.create()
    ids = []
    for _ in range(6):
        ids += [item.id for item in api.items.create(conversation.id, items=numbered(20)).data]

    @test(f"{name}: the SDK pages through 120 items, newest first")
    def _():
        equal([item.id for item in api.items.list(conversation.id)], ids[::-1])

    @test(f"{name}: the SDK pages through 120 items, oldest first, in odd pages")
    def _():
        pages = api.items.list(conversation.id, order="asc", limit=7)
        equal([item.id for item in pages], ids)

    @test(f"{name}: pages of 60 are two, and the second says that it is the last")
    def _():
        first = api.items.list(conversation.id, limit=60)
        equal((len(first.data), first.has_more), (60, True))
        second = first.get_next_page()
        equal((len(second.data), second.has_more, second.has_next_page()), (60, False, False))

    @test(f"{name}: paging goes on after an item that was removed meanwhile")
    def _():
        api.items.delete(ids[50], conversation_id=conversation.id)
        page = api.items.list(conversation.id, after=ids[50], limit=2)
        equal([item.id for item in page.data], [ids[49], ids[48]])
        page = api.items.list(conversation.id, after=ids[50], limit=2, order="asc")
        equal([item.id for item in page.data], [ids[51], ids[52]])


def removed(flavour):
    api, name = flavour.client.conversations, flavour.name

    @test(f"{name}: removing an item answers with its conversation")
    def _():
        conversation = api.create(items=numbered(3), metadata={"a": "b"})
        item = api.items.list(conversation.id).data[1]
        equal(api.items.delete(item.id, conversation_id=conversation.id), conversation)
        left = api.items.list(conversation.id, order="asc").data
        equal(texts(left), ["item 0", "item 2"])

    @test(f"{name}: a removed item is not found, in all four keys")
    def _():
        conversation = api.create(items=[USER])
        item = api.items.list(conversation.id).data[0]
        api.items.delete(item.id, conversation_id=conversation.id)
        said = f"Item with id '{item.id}' not found in conversation."
        wanted = {"message": said, "type": "invalid_request_error", "param": None, "code": None}
        for call in (api.items.retrieve, api.items.delete):
            error = raises(NotFoundError, lambda: call(item.id, conversation_id=conversation.id))
            equal(error.body, wanted)

    @test(f"{name}: an item is not found in another conversation")
    def _():
        first, second = api.create(items=[USER]), api.create()
        item = api.items.list(first.id).data[0]
        raises(NotFoundError, lambda: api.items.retrieve(item.id, conversation_id=second.id))
        raises(NotFoundError, lambda: api.items.delete(item.id, conversation_id=second.id))
        equal(len(api.items.list(first.id).data), 1)

    @test(f"{name}: there is no path for messages")
    def _():
        url = f"{flavour.url}/conversations/{api.create().id}/messages"
        answer = send("POST", url, {}, flavour.headers)
        four_keys(answer, 404)
