"""Chat completions, which are passed on; and the names that can be given as a model's."""

import json
import os

from http_plain import send
from openai import APIStatusError, BadRequestError, NotFoundError, RateLimitError
from results import equal, holds, raises, test
from responses import Place
from scripted import MODEL, Gate, asked, script

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def run(flavour):
    answered(flavour)
    streamed(flavour)
    passed_on(flavour)
    models(flavour)


def said(text):
    return [{"role": "user", "content": text}]


def answered(flavour):
    api, name = flavour.client.chat.completions, flavour.name

    @test(f"{name}: a chat is completed")
    def _():
        completion = api.create(model=MODEL, messages=said("hello"))
        [choice] = completion.choices
        equal((choice.message.content, choice.finish_reason), ("You said: hello", "stop"))
        equal((completion.object, completion.model), ("chat.completion", MODEL))
        holds(completion.usage.total_tokens > 0, f"{completion.usage}")

    @test(f"{name}: a chat reaches the model as it was sent")
    def _():
        messages = [{"role": "system", "content": "be brief"}, *said("hello")]
        api.create(
            model=MODEL, messages=messages, temperature=0.5, seed=7, extra_body={"min_p": 0.1, "odd": {"a": [1]}}
        )
        sent = asked()
        equal(sent["messages"], messages)
        equal((sent["model"], sent["temperature"], sent["seed"]), (MODEL, 0.5, 7))
        equal((sent["min_p"], sent["odd"]), (0.1, {"a": [1]}))

    @test(f"{name}: a chat calls a tool, and goes on")
    def _():
        messages = said("weather?")
        first = api.create(model=MODEL, messages=messages, tools=[TOOL]).choices[0]
        equal(first.finish_reason, "tool_calls")
        [call] = first.message.tool_calls
        equal((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "text"}))
        messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        second = api.create(model=MODEL, messages=messages, tools=[TOOL])
        equal(second.choices[0].message.content, "The tool said: sunny")

    @test(f"{name}: a chat is parsed into a class")
    def _():
        completion = api.parse(model=MODEL, messages=said("a place"), response_format=Place)
        parsed = completion.choices[0].message.parsed
        equal(parsed, Place(name="text", population=1, tags=["text"]))

    @test(f"{name}: a chat is kept nowhere")
    def _():
        url, headers = flavour.url, {**flavour.headers, "x-ms-user-isolation-key": f"{flavour.user}-chat"}
        chat = flavour.make(default_headers={"x-ms-user-isolation-key": f"{flavour.user}-chat"}).chat
        chat.completions.create(model=MODEL, messages=said("hello"))
        for noun in ("conversations", "responses"):
            equal(send("GET", f"{url}/{noun}", headers=headers).json["data"], [])


def streamed(flavour):
    api, name = flavour.client.chat.completions, flavour.name

    @test(f"{name}: a chat is streamed")
    def _():
        chunks = list(api.create(model=MODEL, messages=said(script(pieces=["one ", "two"])), stream=True))
        text = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        equal("".join(text), "one two")
        equal([c.choices[0].finish_reason for c in chunks][-1], "stop")

    @test(f"{name}: a streamed chat says what it cost")
    def _():
        options = {"include_usage": True}
        chunks = list(api.create(model=MODEL, messages=said("hello"), stream=True, stream_options=options))
        holds(chunks[-1].usage.total_tokens > 0, f"{chunks[-1]}")

    @test(f"{name}: a chat is streamed as it comes")
    def _():
        gate = Gate()
        text = script(steps=[{"text": "one "}, {"gate": gate.name}, {"text": "two"}])
        got = []
        for chunk in api.create(model=MODEL, messages=said(text), stream=True):
            got.append(chunk.choices[0].delta.content or "")
            if got[-1] == "one ":
                # Had it not come before the rest was said, the rest would never be said.
                gate.open()
        equal("".join(got), "one two")

    @test(f"{name}: the SDK puts a streamed chat together")
    def _():
        with api.stream(model=MODEL, messages=said("a place"), response_format=Place) as stream:
            stream.until_done()
            completion = stream.get_final_completion()
        equal(completion.choices[0].message.parsed, Place(name="text", population=1, tags=["text"]))


def passed_on(flavour):
    api, name = flavour.client.chat.completions, flavour.name

    @test(f"{name}: a refusal is passed on in the words of the model's server")
    def _():
        error = {"message": "too hot", "type": "invalid_request_error", "param": "temperature", "code": "odd"}
        call = lambda: api.create(model=MODEL, messages=said(script(status=400, error=error)))  # noqa: E731
        got = raises(BadRequestError, call)
        equal((got.code, got.param, got.body["message"]), ("odd", "temperature", "too hot"))

    @test(f"{name}: a rate limit is passed on with its time")
    def _():
        text = script(status=429, headers={"retry-after": "3600"})
        got = raises(RateLimitError, lambda: api.create(model=MODEL, messages=said(text)))
        equal(got.response.headers["retry-after"], "3600")

    @test(f"{name}: the server's own key is not the client's")
    def _():
        for status in (401, 403):
            got = raises(APIStatusError, lambda: api.create(model=MODEL, messages=said(script(status=status))))
            equal((got.status_code, got.type), (502, "server_error"))
            holds("scripted" not in got.body["message"], got.body["message"])

    @test(f"{name}: a body that is no object is refused here")
    def _():
        headers = {**flavour.headers, "content-type": "application/json"}
        url = f"{flavour.url}/chat/completions"
        equal(send("POST", url, headers=headers, raw="{").json["error"]["code"], "invalid_json")
        equal(send("POST", url, [], headers).status, 400)
        equal(send("POST", url, {"model": 7}, headers).json["error"]["param"], "model")

    @test(f"{name}: a key that is bound to a user chats for no other")
    def _():
        other = flavour.make(
            os.environ["OPENAI_KEY_ALICE"], default_headers={"x-ms-user-isolation-key": "somebody-else"}
        )
        got = raises(BadRequestError, lambda: other.chat.completions.create(model=MODEL, messages=said("x")))
        equal(got.param, "x-ms-user-isolation-key")


def models(flavour):
    api, name = flavour.client.models, flavour.name

    @test(f"{name}: apps and models are listed by their names")
    def _():
        listed = list(api.list())
        names = [model.id for model in listed]
        for wanted in ("default", "second", MODEL):
            equal(names.count(wanted), 1)
        equal({model.object for model in listed}, {"model"})

    @test(f"{name}: a model is read as it is listed")
    def _():
        for model in api.list():
            equal(api.retrieve(model.id), model)

    @test(f"{name}: an unknown model is not found")
    def _():
        error = raises(NotFoundError, lambda: api.retrieve("gpt-none"))
        equal((error.code, error.param), ("model_not_found", "model"))
