"""Responses in the background: begun, polled, streamed, cancelled."""

from openai import BadRequestError, NotFoundError
from results import equal, holds, raises, test
from scripted import MODEL, Gate, script
from streams import unbilled


def run(flavour):
    finished(flavour)
    cancelled(flavour)
    streamed(flavour)


def held(gate, text="done"):
    """A question whose answer waits at the gate."""
    return script(steps=[{"gate": gate.name}, {"text": text}])


def end_of(api, response):
    """The response when it has ended: whoever reads its stream waits without asking again and again."""
    return list(api.retrieve(response.id, stream=True))[-1].response


def finished(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a response in the background is there at once, and done later")
    def _():
        gate = Gate()
        response = api.create(model=MODEL, input=held(gate), background=True)
        holds(response.status in ("queued", "in_progress"), response.status)
        equal((response.background, response.output, response.usage), (True, [], None))
        holds(api.retrieve(response.id).status in ("queued", "in_progress"), "it does not run")
        gate.open()
        done = end_of(api, response)
        equal((done.status, done.output_text, done.background), ("completed", "done", True))
        while (polled := api.retrieve(response.id)).status in ("queued", "in_progress"):
            pass
        equal(unbilled(polled), unbilled(done))

    @test(f"{name}: in the background, a conversation has question and answer together")
    def _():
        gate, conversation = Gate(), flavour.client.conversations.create()
        items = flavour.client.conversations.items
        response = api.create(
            model=MODEL, input=held(gate), background=True, conversation=conversation.id
        )
        equal(items.list(conversation.id).data, [])
        gate.open()
        end_of(api, response)
        equal(len(items.list(conversation.id).data), 2)

    @test(f"{name}: what is not stored cannot be in the background")
    def _():
        call = lambda: api.create(model=MODEL, input="x", background=True, store=False)  # noqa: E731
        raises(BadRequestError, call)


def cancelled(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a response in the background is cancelled, as often as wanted")
    def _():
        gate = Gate()
        response = api.create(model=MODEL, input=held(gate), background=True)
        gone = api.cancel(response.id)
        equal((gone.id, gone.status), (response.id, "cancelled"))
        equal(api.retrieve(response.id), gone)
        equal(api.cancel(response.id), gone)

    @test(f"{name}: a conversation is free when its response is cancelled")
    def _():
        gate, conversation = Gate(), flavour.client.conversations.create()
        response = api.create(
            model=MODEL, input=held(gate), background=True, conversation=conversation.id
        )
        api.cancel(response.id)
        again = api.create(model=MODEL, input="hello", conversation=conversation.id)
        equal(again.output_text, "You said: hello")

    @test(f"{name}: only what is in the background is cancelled")
    def _():
        response = api.create(model=MODEL, input="hello")
        raises(BadRequestError, lambda: api.cancel(response.id))
        equal(api.retrieve(response.id).status, "completed")

    @test(f"{name}: a response that runs is deleted, and ends")
    def _():
        gate = Gate()
        response = api.create(model=MODEL, input=held(gate), background=True)
        api.delete(response.id)
        raises(NotFoundError, lambda: api.retrieve(response.id))
        raises(NotFoundError, lambda: api.cancel(response.id))


def streamed(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a stream in the background is left, and taken up where it was")
    def _():
        gate = Gate()
        text = script(steps=[{"text": "one "}, {"gate": gate.name}, {"text": "two"}])
        seen = []
        with api.create(model=MODEL, input=text, background=True, stream=True) as stream:
            for event in stream:
                seen.append(event)
                if event.type == "response.output_text.delta":
                    break
        equal([event.type for event in seen[:2]], ["response.created", "response.queued"])
        gate.open()
        last = seen[-1].sequence_number
        rest = list(api.retrieve(seen[0].response.id, stream=True, starting_after=last))
        numbers = [event.sequence_number for event in seen + rest]
        equal(numbers, list(range(len(numbers))))
        deltas = [e.delta for e in seen + rest if e.type == "response.output_text.delta"]
        equal("".join(deltas), "one two")
        equal(rest[-1].type, "response.completed")

    @test(f"{name}: a stream is told when its response is cancelled")
    def _():
        gate = Gate()
        response = api.create(model=MODEL, input=held(gate), background=True)
        stream = api.retrieve(response.id, stream=True)
        next(iter(stream))
        api.cancel(response.id)
        last = [event for event in stream][-1]
        equal(api.retrieve(response.id).status, "cancelled")
        holds(last.sequence_number >= 0, f"{last}")
