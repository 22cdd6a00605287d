"""Conversations: made, read, changed, deleted, listed."""

from http_plain import send
from openai import BadRequestError, NotFoundError
from results import equal, holds, raises, test

KEYS = {"message", "type", "param", "code"}


def four_keys(answer, status, code=None, param=None, said=None):
    """The answer is an error in OpenAI's words: all four keys, always."""
    equal(answer.status, status)
    error = answer.json["error"]
    equal(set(error), KEYS)
    holds(isinstance(error["message"], str) and error["message"], "no message")
    holds(isinstance(error["type"], str), "no type")
    equal((error["code"], error["param"]), (code, param))
    if said is not None:
        equal(error["message"], said)


def bad(call, code, param):
    """The call is refused with 400 and these two."""
    error = raises(BadRequestError, call)
    equal((error.status_code, error.code, error.param), (400, code, param))
    equal(set(error.body), KEYS)
    return error


def run(flavour):
    made_and_read(flavour)
    changed(flavour)
    metadata_limits(flavour)
    deleted(flavour)
    listed(flavour)
    errors(flavour)


def made_and_read(flavour):
    api, name = flavour.client.conversations, flavour.name

    @test(f"{name}: a conversation can be made from nothing")
    def _():
        made = api.create()
        equal((made.object, made.metadata), ("conversation", {}))
        holds(made.id.startswith("conv_"), made.id)

    @test(f"{name}: no body at all makes a conversation")
    def _():
        equal(send("POST", f"{flavour.url}/conversations", headers=flavour.headers).status, 200)

    @test(f"{name}: null for items and metadata is as good as none")
    def _():
        equal(api.create(items=None, metadata=None).metadata, {})

    @test(f"{name}: metadata given at creation come back")
    def _():
        wanted = {"topic": "demo", "empty": "", "unicode": "caf\u00e9 \U0001f600"}
        made = api.create(metadata=wanted)
        equal(made.metadata, wanted)
        equal(api.retrieve(made.id).metadata, wanted)

    @test(f"{name}: a conversation reads as it was made")
    def _():
        made = api.create(metadata={"a": "b"})
        equal(api.retrieve(made.id), made)

    @test(f"{name}: items given at creation are in the conversation at once")
    def _():
        made = api.create(items=[{"role": "user", "content": "hello"}])
        page = api.items.list(made.id)
        equal([part.text for item in page.data for part in item.content], ["hello"])

    @test(f"{name}: 20 items can be given at creation, 21 cannot")
    def _():
        item = {"role": "user", "content": "x"}
        made = api.create(items=[item] * 20)
        equal(len(api.items.list(made.id, limit=100).data), 20)
        bad(lambda: api.create(items=[item] * 21), "array_above_max_length", "items")

    @test(f"{name}: created_at is this conversation's own second")
    def _():
        made = api.create()
        equal(made.created_at, int(made.id.removeprefix("conv_")[:12], 16) // 1000)


def changed(flavour):
    api, name = flavour.client.conversations, flavour.name

    @test(f"{name}: an update replaces the metadata as a whole")
    def _():
        made = api.create(metadata={"old": "1", "kept": "2"})
        updated = api.update(made.id, metadata={"kept": "3"})
        equal((updated.id, updated.created_at), (made.id, made.created_at))
        equal(updated.metadata, {"kept": "3"})
        equal(api.retrieve(made.id).metadata, {"kept": "3"})

    @test(f"{name}: an update with no pairs empties the metadata")
    def _():
        made = api.create(metadata={"old": "1"})
        equal(api.update(made.id, metadata={}).metadata, {})

    @test(f"{name}: an update needs metadata")
    def _():
        url = f"{flavour.url}/conversations/{api.create().id}"
        said = "Missing required parameter: 'metadata'."
        for body in ({}, None):
            answer = send("POST", url, body, flavour.headers)
            four_keys(answer, 400, "missing_required_parameter", "metadata", said)

    @test(f"{name}: an update refuses null for metadata")
    def _():
        made = api.create()
        bad(lambda: api.update(made.id, metadata=None), "invalid_type", "metadata")

    @test(f"{name}: an unknown conversation cannot be updated")
    def _():
        raises(NotFoundError, lambda: api.update(f"conv_{'0' * 32}", metadata={}))


def metadata_limits(flavour):
    api, name = flavour.client.conversations, flavour.name
    pairs = {f"key{number}": "v" for number in range(16)}

    def refused(metadata, code, param):
        bad(lambda: api.create(metadata=metadata), code, param)
        made = api.create(metadata={"before": "1"})
        bad(lambda: api.update(made.id, metadata=metadata), code, param)
        equal(api.retrieve(made.id).metadata, {"before": "1"})

    @test(f"{name}: 16 pairs of metadata are kept, 17 are refused")
    def _():
        equal(api.create(metadata=pairs).metadata, pairs)
        refused(pairs | {"one": "more"}, "object_above_max_properties", "metadata")

    @test(f"{name}: a metadata key of 64 characters is kept, of 65 is refused")
    def _():
        equal(api.create(metadata={"\u00e9" * 64: "v"}).metadata, {"\u00e9" * 64: "v"})
        refused({"k" * 65: "v"}, "string_above_max_length", "metadata")

    @test(f"{name}: a metadata value of 512 characters is kept, of 513 is refused")
    def _():
        equal(api.create(metadata={"k": "\u00e9" * 512}).metadata, {"k": "\u00e9" * 512})
        refused({"k": "v" * 513}, "string_above_max_length", "metadata.k")

    @test(f"{name}: metadata that are no object, or hold no string, are refused")
    def _():
        refused("text", "invalid_type", "metadata")
        refused({"k": 1}, "invalid_type", "metadata.k")


def deleted(flavour):
    api, name = flavour.client.conversations, flavour.name

    @test(f"{name}: a delete answers as documented")
    def _():
        made = api.create(items=[{"role": "user", "content": "gone soon"}])
        answer = api.delete(made.id)
        wanted = {"id": made.id, "object": "conversation.deleted", "deleted": True}
        equal(answer.to_dict(), wanted)

    @test(f"{name}: a second delete finds nothing, in all four keys")
    def _():
        made = api.create()
        api.delete(made.id)
        error = raises(NotFoundError, lambda: api.delete(made.id))
        said = f"Conversation with id '{made.id}' not found."
        wanted = {"message": said, "type": "invalid_request_error", "param": None, "code": None}
        equal(error.body, wanted)

    @test(f"{name}: nothing of a deleted conversation is found")
    def _():
        made = api.create(items=[{"role": "user", "content": "x"}])
        item = api.items.list(made.id).data[0]
        api.delete(made.id)
        raises(NotFoundError, lambda: api.retrieve(made.id))
        raises(NotFoundError, lambda: api.update(made.id, metadata={}))
        raises(NotFoundError, lambda: api.items.list(made.id))
        raises(NotFoundError, lambda: api.items.retrieve(item.id, conversation_id=made.id))
        raises(NotFoundError, lambda: api.items.delete(item.id, conversation_id=made.id))
        new = [{"role": "user", "content": "late"}]
        raises(NotFoundError, lambda: api.items.create(made.id, items=new))

    @test(f"{name}: an unknown conversation is not found")
    def _():
        raises(NotFoundError, lambda: api.retrieve(f"conv_{'0' * 32}"))
        raises(NotFoundError, lambda: api.delete(f"conv_{'0' * 48}"))

    @test(f"{name}: an id of another kind is refused or not found, never an internal error")
    def _():
        for id in ("x", "conv_", "conv_..", "msg_1", "%00", "conv_" + "f" * 300):
            answer = send("DELETE", f"{flavour.url}/conversations/{id}", headers=flavour.headers)
            holds(answer.status in (400, 404), f"{id}: {answer}")
            equal(set(answer.json["error"]), KEYS)


def listed(flavour):
    api, name = flavour.client.conversations, flavour.name
    headers = flavour.headers | {"x-ms-user-isolation-key": f"{flavour.user}-list"}

    def page(query=""):
        answer = send("GET", f"{flavour.url}/conversations{query}", headers=headers)
        equal(answer.status, 200)
        return answer.json

    @test(f"{name}: a list without conversations is a valid page")
    def _():
        equal(page(), {"data": [], "has_more": False})

    own = {"x-ms-user-isolation-key": headers["x-ms-user-isolation-key"]}
    mine = flavour.make(default_headers=own).conversations
    made = [mine.create(metadata={"n": str(number)}) for number in range(5)]
    ids = [conversation.id for conversation in made]

    def ids_of(query):
        return [row["id"] for row in page(query)["data"]]

    @test(f"{name}: conversations are listed newest first, without `object`")
    def _():
        whole = page()
        equal([row["id"] for row in whole["data"]], ids[::-1])
        equal((whole["first_id"], whole["last_id"], whole["has_more"]), (ids[4], ids[0], False))
        equal(whole["data"][0], made[4].to_dict())
        holds("object" not in whole, "Foundry's list has no `object`")

    @test(f"{name}: conversations are listed oldest first when asked")
    def _():
        equal(ids_of("?order=asc"), ids)

    @test(f"{name}: conversations are paged forward with after")
    def _():
        first = page("?limit=2")
        equal(([row["id"] for row in first["data"]], first["has_more"]), (ids[:2:-1], True))
        equal(ids_of(f"?limit=2&after={ids[3]}"), [ids[2], ids[1]])
        equal(ids_of(f"?limit=2&order=asc&after={ids[3]}"), [ids[4]])

    @test(f"{name}: conversations are paged backward with before")
    def _():
        equal(ids_of(f"?before={ids[3]}"), [ids[4]])
        equal(ids_of(f"?order=asc&before={ids[2]}"), ids[:2])

    @test(f"{name}: an exactly full page of conversations is the last one")
    def _():
        equal(page("?limit=5")["has_more"], False)
        equal(page("?limit=4")["has_more"], True)

    @test(f"{name}: limit 0 and an unknown after give a valid page of conversations")
    def _():
        equal(page("?limit=0")["data"], [])
        holds(isinstance(page(f"?after=conv_{'0' * 32}")["data"], list))

    @test(f"{name}: limit 101 is refused in the list of conversations")
    def _():
        answer = send("GET", f"{flavour.url}/conversations?limit=101", headers=headers)
        four_keys(answer, 400, "integer_above_max_value", "limit")

    @test(f"{name}: paging goes on after a conversation that was deleted meanwhile")
    def _():
        mine.delete(ids[2])
        equal(ids_of(f"?after={ids[2]}"), [ids[1], ids[0]])
        equal(ids_of(""), [ids[4], ids[3], ids[1], ids[0]])


def errors(flavour):
    url, name = flavour.url, flavour.name

    @test(f"{name}: without a key the answer is 401, in all four keys")
    def _():
        answer = send("POST", f"{url}/conversations", {})
        four_keys(answer, 401, None, None)

    @test(f"{name}: a wrong key is 401, as bearer and as api-key")
    def _():
        for headers in ({"authorization": "Bearer sk-wrong"}, {"api-key": "sk-wrong"}):
            answer = send("POST", f"{url}/conversations", {}, headers)
            four_keys(answer, 401, "invalid_api_key", None)

    @test(f"{name}: an unknown path is 404, in all four keys")
    def _():
        answer = send("GET", f"{url}/nothing", headers=flavour.headers)
        four_keys(answer, 404)
        path = url.split("/", 3)[3]
        equal(answer.json["error"]["message"], f"Invalid URL (GET /{path}/nothing)")

    @test(f"{name}: a method that a path does not have is 405, in all four keys")
    def _():
        four_keys(send("PUT", f"{url}/conversations", {}, flavour.headers), 405)

    @test(f"{name}: a body that is no JSON is refused as OpenAI does")
    def _():
        headers = flavour.headers | {"content-type": "application/json"}
        four_keys(send("POST", f"{url}/conversations", None, headers, "{"), 400, "invalid_json")

    @test(f"{name}: every answer names its request")
    def _():
        first = send("POST", f"{url}/conversations", {}, flavour.headers)
        second = send("GET", f"{url}/conversations/conv_x", headers=flavour.headers)
        ids = [answer.headers["x-request-id"] for answer in (first, second)]
        holds(all(ids) and ids[0] != ids[1], f"{ids}")

    @test(f"{name}: the SDK knows the request's id")
    def _():
        holds(flavour.client.conversations.create()._request_id)
