"""What is refused, with the SDK's exception, code and parameter."""

from conversations import KEYS, bad, four_keys
from http_plain import send
from openai import APIStatusError, AuthenticationError, BadRequestError, NotFoundError, RateLimitError
from results import equal, holds, raises, test
from scripted import MODEL, Gate, script


def run(flavour):
    values(flavour)
    states(flavour)
    upstream(flavour)
    foreign(flavour)


def values(flavour):
    api, name = flavour.client.responses, flavour.name
    user = {"role": "user", "content": "x"}
    wrong = [
        ("temperature", {"temperature": 3}, "decimal_above_max_value", "temperature"),
        ("top_p", {"top_p": -1}, "decimal_below_min_value", "top_p"),
        ("max_output_tokens", {"max_output_tokens": 1}, "integer_below_min_value", "max_output_tokens"),
        ("max_tool_calls", {"max_tool_calls": 0}, "integer_below_min_value", "max_tool_calls"),
        ("truncation", {"truncation": "some"}, "invalid_value", "truncation"),
        ("include", {"include": ["bogus.thing"]}, "invalid_value", "include[0]"),
        ("tool_choice", {"tool_choice": "maybe"}, "invalid_value", "tool_choice"),
        ("text.verbosity", {"text": {"verbosity": "loud"}}, "invalid_value", "text.verbosity"),
        ("metadata", {"metadata": {f"k{at}": "v" for at in range(17)}}, "object_above_max_properties", "metadata"),
        ("input", {"input": 7}, "invalid_type", "input"),
        ("store", {"extra_body": {"store": "yes"}}, "invalid_type", "store"),
        ("input[0]", {"input": [{}]}, "invalid_value", "input[0]"),
        ("input[0].content", {"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        (
            "a content part",
            {"input": [{"role": "user", "content": [{"type": "bogus"}]}]},
            "invalid_value",
            "input[0].content[0].type",
        ),
        (
            "a part's text",
            {"input": [user, {"role": "user", "content": [{"type": "input_text"}]}]},
            "missing_required_parameter",
            "input[1].content[0].text",
        ),
        (
            "a form's name",
            {"text": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            "missing_required_parameter",
            "text.format.name",
        ),
    ]

    for what, given, code, param in wrong:

        @test(f"{name}: a wrong value is refused: {what}")
        def _(given=given, code=code, param=param):
            bad(lambda: api.create(**{"model": MODEL, "input": "x", **given}), code, param)

    @test(f"{name}: what is no JSON is refused")
    def _():
        headers = {**flavour.headers, "content-type": "application/json"}
        answer = send("POST", f"{flavour.url}/responses", headers=headers, raw="{")
        four_keys(answer, 400, "invalid_json", None)

    @test(f"{name}: a wrong key is refused")
    def _():
        wrong = flavour.make("sk-wrong")
        error = raises(AuthenticationError, lambda: wrong.responses.create(model=MODEL, input="x"))
        equal((error.status_code, error.code), (401, "invalid_api_key"))


def states(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a conversation and a response cannot both be gone on from")
    def _():
        conversation = flavour.client.conversations.create()
        first = api.create(model=MODEL, input="one")
        call = lambda: api.create(  # noqa: E731
            model=MODEL, input="x", conversation=conversation.id, previous_response_id=first.id
        )
        error = raises(BadRequestError, call)
        equal((error.code, set(error.body)), ("mutually_exclusive_parameters", KEYS))

    @test(f"{name}: two responses at once in a conversation are one too many")
    def _():
        gate, conversation = Gate(), flavour.client.conversations.create()
        text = script(steps=[{"gate": gate.name}, {"text": "done"}])
        stream = api.create(model=MODEL, input=text, conversation=conversation.id, stream=True)
        next(iter(stream))
        call = lambda: api.create(model=MODEL, input="x", conversation=conversation.id)  # noqa: E731
        error = bad(call, "conversation_locked", "conversation")
        said = "Another process is currently operating on this conversation. Please retry in a few seconds."
        equal(error.body["message"], said)
        gate.open()
        equal([event.type for event in stream][-1], "response.completed")
        equal(call().status, "completed")


def upstream(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: what the model's server refuses is a client's error")
    def _():
        text = script(status=400, error={"message": "too hot", "code": "odd", "type": "x", "param": None})
        error = raises(BadRequestError, lambda: api.create(model=MODEL, input=text))
        holds("too hot" in error.body["message"], error.body["message"])

    @test(f"{name}: a model's server that has too much to do is a rate limit")
    def _():
        text = script(status=429, headers={"retry-after": "3600"})
        error = raises(RateLimitError, lambda: api.create(model=MODEL, input=text))
        equal((error.code, error.response.headers["retry-after"]), ("rate_limit_exceeded", "3600"))

    @test(f"{name}: a key that the model's server does not take is no client's business")
    def _():
        error = raises(APIStatusError, lambda: api.create(model=MODEL, input=script(status=401)))
        holds(error.status_code >= 500, f"{error.status_code}")
        holds("scripted" not in error.body["message"], error.body["message"])


def foreign(flavour):
    name = flavour.name

    def user(who):
        return flavour.make(default_headers={"x-ms-user-isolation-key": f"{flavour.user}-{who}"})

    @test(f"{name}: another user finds no response, and changes none")
    def _():
        mine, client = user("carol").responses, user("dave")
        response = mine.create(model=MODEL, input="hello")
        for theirs in (client.responses, flavour.make().responses):
            raises(NotFoundError, lambda: theirs.retrieve(response.id))
            raises(NotFoundError, lambda: theirs.retrieve(response.id, stream=True))
            raises(NotFoundError, lambda: theirs.input_items.list(response.id))
            raises(NotFoundError, lambda: theirs.cancel(response.id))
            raises(NotFoundError, lambda: theirs.delete(response.id))
            call = lambda: theirs.create(model=MODEL, input="x", previous_response_id=response.id)  # noqa: E731
            bad(call, "previous_response_not_found", "previous_response_id")
        equal(mine.retrieve(response.id), response)

    @test(f"{name}: another user does not go on in a conversation")
    def _():
        mine, theirs = user("carol"), user("dave")
        conversation = mine.conversations.create()
        for client in (theirs, flavour.make()):
            call = lambda: client.responses.create(model=MODEL, input="x", conversation=conversation.id)  # noqa: E731
            raises(NotFoundError, call)
            call = lambda: client.responses.create(  # noqa: E731
                model=MODEL, input="x", conversation=conversation.id, store=False
            )
            raises(NotFoundError, call)
        equal(mine.conversations.items.list(conversation.id).data, [])

    @test(f"{name}: another user lists no response")
    def _():
        response = user("carol").responses.create(model=MODEL, input="hello")
        for who, sees in (("carol", True), ("dave", False)):
            headers = {**flavour.headers, "x-ms-user-isolation-key": f"{flavour.user}-{who}"}
            rows = send("GET", f"{flavour.url}/responses", headers=headers).json["data"]
            equal(response.id in [row["id"] for row in rows], sees)
