"""The asynchronous client: the same server, several calls at a time."""

import asyncio

from openai import BadRequestError
from results import equal, holds, test
from responses import Place
from scripted import MODEL, Gate, script


def run(flavour):
    name = flavour.name

    def with_client(work):
        async def use():
            headers = {"x-ms-user-isolation-key": flavour.user}
            async with flavour.make_async(default_headers=headers) as client:
                await work(client)

        asyncio.run(use())

    @test(f"{name}, async: a string is answered, and read")
    def _():
        async def work(client):
            response = await client.responses.create(model=MODEL, input="hello")
            equal(response.output_text, "You said: hello")
            equal(await client.responses.retrieve(response.id), response)
            items = [item async for item in client.responses.input_items.list(response.id)]
            equal(len(items), 1)
            await client.responses.delete(response.id)

        with_client(work)

    @test(f"{name}, async: a stream is put together and parsed")
    def _():
        async def work(client):
            async with client.responses.stream(model=MODEL, input="a place", text_format=Place) as stream:
                deltas = [e.delta async for e in stream if e.type == "response.output_text.delta"]
                final = await stream.get_final_response()
            equal("".join(deltas), final.output_text)
            equal(final.output_parsed, Place(name="text", population=1, tags=["text"]))

        with_client(work)

    @test(f"{name}, async: many are answered at once")
    def _():
        async def work(client):
            calls = [client.responses.create(model=MODEL, input=f"{at}") for at in range(20)]
            texts = [response.output_text for response in await asyncio.gather(*calls)]
            equal(texts, [f"You said: {at}" for at in range(20)])

        with_client(work)

    @test(f"{name}, async: of two at once in a conversation one is told to wait")
    def _():
        async def work(client):
            gate, conversation = Gate(), await client.conversations.create()
            text = script(steps=[{"gate": gate.name}, {"text": "done"}])
            ask = lambda: client.responses.create(  # noqa: E731
                model=MODEL, input=text, conversation=conversation.id
            )
            pending = {asyncio.create_task(ask()), asyncio.create_task(ask())}
            first, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            [refused] = first
            holds(isinstance(refused.exception(), BadRequestError), f"{refused}")
            equal(refused.exception().code, "conversation_locked")
            gate.open()
            equal((await pending.pop()).output_text, "done")

        with_client(work)

    @test(f"{name}, async: a background response is cancelled")
    def _():
        async def work(client):
            text = script(steps=[{"gate": Gate().name}])
            response = await client.responses.create(model=MODEL, input=text, background=True)
            equal((await client.responses.cancel(response.id)).status, "cancelled")

        with_client(work)

    @test(f"{name}, async: a chat is streamed")
    def _():
        async def work(client):
            messages = [{"role": "user", "content": script(pieces=["one ", "two"])}]
            chunks = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
            text = [chunk.choices[0].delta.content or "" async for chunk in chunks]
            equal("".join(text), "one two")
            equal("default" in [model.id async for model in client.models.list()], True)

        with_client(work)
