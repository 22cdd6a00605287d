"""Responses as streams: every event in its order, the SDK's accumulator, and streams that are read later."""

import json

from http_plain import send
from openai import BadRequestError, NotFoundError
from results import equal, holds, raises, test
from responses import Place
from scripted import MODEL, Gate, script

LIFE = ["response.created", "response.in_progress"]
ONE_MESSAGE = [
    *LIFE,
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


def run(flavour):
    in_order(flavour)
    accumulated(flavour)
    endings(flavour)
    read_later(flavour)
    abandoned(flavour)


def squeezed(events):
    """The types of events, one for many of the same."""
    types = [event.type for event in events]
    return [kind for at, kind in enumerate(types) if at == 0 or types[at - 1] != kind]


def unbilled(response):
    """A response without what events leave out of it, as recorded."""
    return {key: value for key, value in response.to_dict().items() if key != "billing"}


def numbered(events, start=0):
    equal([event.sequence_number for event in events], list(range(start, start + len(events))))


def in_order(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a message is streamed, event by event")
    def _():
        events = list(api.create(model=MODEL, input=script(pieces=["one ", "two ", "three"]), stream=True))
        equal(squeezed(events), ONE_MESSAGE)
        numbered(events)
        deltas = [event for event in events if event.type == "response.output_text.delta"]
        equal("".join(event.delta for event in deltas), "one two three")
        equal({event.item_id for event in deltas}, {events[2].item.id})
        equal({(event.output_index, event.content_index) for event in deltas}, {(0, 0)})
        equal({json.dumps(event.logprobs) for event in deltas}, {"[]"})
        by_type = {event.type: event for event in events}
        equal(by_type["response.output_text.done"].text, "one two three")
        equal(by_type["response.content_part.added"].part.text, "")
        equal(by_type["response.content_part.done"].part.text, "one two three")

    @test(f"{name}: the first events show a response that runs, the last one that is done")
    def _():
        events = list(api.create(model=MODEL, input="hello", stream=True))
        created, running, done = events[0].response, events[1].response, events[-1].response
        equal((created.status, running.status, done.status), ("in_progress", "in_progress", "completed"))
        equal((created.usage, created.output), (None, []))
        equal({created.id, running.id, done.id}, {done.id})
        equal(done.output_text, "You said: hello")
        holds(done.usage.total_tokens > 0, f"{done.usage}")
        equal(unbilled(api.retrieve(done.id)), unbilled(done))
        equal((events[2].item.status, events[2].item.content), ("in_progress", []))
        equal(events[-2].item, done.output[0])

    @test(f"{name}: what the model thinks is streamed first")
    def _():
        text = script(reasoning=["so ", "then"], pieces=["yes"])
        events = list(api.create(model=MODEL, input=text, stream=True))
        numbered(events)
        added = [event for event in events if event.type == "response.output_item.added"]
        equal([(e.output_index, e.item.type) for e in added], [(0, "reasoning"), (1, "message")])
        thought = [e.delta for e in events if e.type.startswith("response.reasoning") and e.type.endswith(".delta")]
        equal("".join(thought), "so then")
        done = [event for event in events if event.type == "response.output_item.done"]
        equal([event.item for event in done], events[-1].response.output)

    @test(f"{name}: a refusal is streamed as one")
    def _():
        events = list(api.create(model=MODEL, input=script(refusal=["I will ", "not"]), stream=True))
        by_type = {event.type: event for event in events}
        equal("".join(e.delta for e in events if e.type == "response.refusal.delta"), "I will not")
        equal(by_type["response.refusal.done"].refusal, "I will not")
        equal(by_type["response.content_part.done"].part.type, "refusal")

    @test(f"{name}: frames name the event's type twice")
    def _():
        body = {"model": MODEL, "input": "hello", "stream": True}
        answer = send("POST", f"{flavour.url}/responses", body, flavour.headers)
        holds(answer.headers["content-type"].startswith("text/event-stream"), f"{answer.headers}")
        frames = [frame.split("\n") for frame in answer.text.strip().split("\n\n") if frame != "data: [DONE]"]
        for event, data in frames:
            equal(event.removeprefix("event: "), json.loads(data.removeprefix("data: "))["type"])

    @test(f"{name}: deltas are padded, unless nobody wants it")
    def _():
        def padded(**more):
            events = api.create(model=MODEL, input="hello", stream=True, **more)
            deltas = [e for e in events if e.type == "response.output_text.delta"]
            return [bool(getattr(e, "obfuscation", None)) for e in deltas]

        holds(all(padded()), "no obfuscation")
        holds(not any(padded(stream_options={"include_obfuscation": False})), "obfuscation")


def accumulated(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: the SDK puts a stream together")
    def _():
        with api.stream(model=MODEL, input=script(pieces=["one ", "two"])) as stream:
            snapshots = [e.snapshot for e in stream if e.type == "response.output_text.delta"]
            final = stream.get_final_response()
        equal(snapshots, ["one ", "one two"])
        equal((final.status, final.output_text), ("completed", "one two"))

    @test(f"{name}: the SDK parses a stream into a class")
    def _():
        with api.stream(model=MODEL, input="a place", text_format=Place) as stream:
            stream.until_done()
            final = stream.get_final_response()
        equal(final.output_parsed, Place(name="text", population=1, tags=["text"]))

    @test(f"{name}: the SDK reads a stream again, from where it was")
    def _():
        response = api.create(model=MODEL, input="hello")
        with api.stream(response_id=response.id, starting_after=0) as stream:
            kinds = [event.type for event in stream]
        equal((kinds[0], kinds[-1]), ("response.in_progress", "response.completed"))

    @test(f"{name}: a stream in a conversation ends when the conversation has it")
    def _():
        gate, conversation = Gate(), flavour.client.conversations.create()
        text = script(steps=[{"text": "so "}, {"gate": gate.name}, {"text": "far"}])
        items = flavour.client.conversations.items
        with api.stream(model=MODEL, input=text, conversation=conversation.id) as stream:
            for event in stream:
                if event.type == "response.output_text.delta" and event.delta == "so ":
                    equal(items.list(conversation.id).data, [])
                    gate.open()
                if event.type == "response.completed":
                    equal(len(items.list(conversation.id).data), 2)


def endings(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a stream that is cut off ends as incomplete")
    def _():
        text = script(pieces=["so ", "far"], finish_reason="length")
        events = list(api.create(model=MODEL, input=text, stream=True))
        equal(squeezed(events), [*ONE_MESSAGE[:-1], "response.incomplete"])
        final = events[-1].response
        equal((final.status, final.incomplete_details.reason), ("incomplete", "max_output_tokens"))
        equal(events[-2].item.status, "incomplete")

    @test(f"{name}: a model that breaks off fails the response")
    def _():
        text = script(pieces=["so ", "far"], end="disconnect")
        events = list(api.create(model=MODEL, input=text, stream=True))
        numbered(events)
        failed = events[-1]
        equal((failed.type, failed.response.status), ("response.failed", "failed"))
        holds(failed.response.error.message, "no message")
        equal(failed.response.error.code, "server_error")
        equal(api.retrieve(failed.response.id).status, "failed")

    @test(f"{name}: what is wrong is said before a stream begins")
    def _():
        raises(BadRequestError, lambda: api.create(model=MODEL, input="x", temperature=3, stream=True))
        unknown = f"conv_{'0' * 32}"
        call = lambda: api.create(model=MODEL, input="x", conversation=unknown, stream=True)  # noqa: E731
        raises(NotFoundError, call)


def read_later(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a response that is done is streamed again, event by event")
    def _():
        events = list(api.create(model=MODEL, input=script(pieces=["one ", "two"]), stream=True))
        again = list(api.retrieve(events[0].response.id, stream=True))
        equal(squeezed(again), ONE_MESSAGE)
        numbered(again)
        equal(len(again), len(events))
        equal(again[-1].response, events[-1].response)

    @test(f"{name}: a stream is resumed after any event")
    def _():
        events = list(api.create(model=MODEL, input=script(pieces=["one ", "two"]), stream=True))
        for at, event in enumerate(events):
            rest = list(
                api.retrieve(events[0].response.id, stream=True, starting_after=event.sequence_number)
            )
            equal([e.type for e in rest], [e.type for e in events[at + 1 :]])
            numbered(rest, at + 1)


def abandoned(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a response goes on when its reader goes away")
    def _():
        gate = Gate()
        stream = api.create(model=MODEL, input=script(steps=[{"gate": gate.name}, {"text": "done"}]), stream=True)
        created = next(iter(stream))
        stream.close()
        gate.open()
        events = list(api.retrieve(created.response.id, stream=True))
        equal(events[-1].response.output_text, "done")
