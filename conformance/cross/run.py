"""One conversation, any dialect: made through one, read, renamed and deleted through another; for all
ordered pairs. The same person has a key for each dialect, another person too."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "lib")]

from dialects import DIALECTS, Person
from results import equal, holds, test

ALICE, BOB = Person("ALICE"), Person("BOB")


def made(maker, said="hello from afar"):
    """A new conversation's id in its shared form, holding what was said."""
    return maker.create(ALICE, said)


for maker in DIALECTS:
    for other in DIALECTS:
        pair = f"{maker.name} and {other.name}"

        @test(f"{pair}: what one makes is listed and read by the other")
        def _():
            id = made(maker)
            holds(id in other.listed(ALICE), "it is not listed")
            holds(other.exists(ALICE, id), "it does not exist")
            said = other.said(ALICE, id)
            holds("hello from afar" in said, f"{said}")
            equal(said, maker.said(ALICE, id))

        @test(f"{pair}: what one adds is read by the other")
        def _():
            id = made(maker)
            other.add(ALICE, id, "one more thing")
            for dialect in (maker, other):
                said = dialect.said(ALICE, id)
                holds("hello from afar" in said and "one more thing" in said, f"{said}")
                holds(said.index("hello from afar") < said.index("one more thing"), f"{said}")

        if maker.titled and other.titled:

            @test(f"{pair}: what one renames has its new name with the other")
            def _():
                id = made(maker)
                other.rename(ALICE, id, "A new name")
                equal(maker.title(ALICE, id), "A new name")
                equal(other.title(ALICE, id), "A new name")

        @test(f"{pair}: what one deletes is gone everywhere")
        def _():
            id = made(maker)
            other.delete(ALICE, id)
            for dialect in DIALECTS:
                holds(not dialect.exists(ALICE, id), f"{dialect.name} still has it")
                holds(id not in dialect.listed(ALICE), f"{dialect.name} still lists it")
                holds(dialect.delete_fails(ALICE, id), f"{dialect.name} deletes it again")

        @test(f"{pair}: what one person makes, another does not see")
        def _():
            id = made(maker)
            holds(not other.exists(BOB, id), "it exists")
            holds(id not in other.listed(BOB), "it is listed")
            holds(other.delete_fails(BOB, id), "it can be deleted")
            holds(maker.exists(ALICE, id), "it is gone")


@test("an id has the same bits in every dialect's form")
def _():
    openai, dify, coze, openhands = DIALECTS
    id = made(openai)
    forms = [dialect.form(id) for dialect in (openai, dify, openhands)]
    equal({form.removeprefix("conv_").replace("-", "") for form in forms}, {id})
    holds(len(coze.form(id)) == 19, coze.form(id))


@test("OpenAI's metadata are Coze's meta_data")
def _():
    openai, _, coze, _ = DIALECTS
    id = openai.create(ALICE, "x", metadata={"topic": "demo"})
    equal(coze.metadata(ALICE, id), {"topic": "demo"})
    id = coze.create(ALICE, "x", metadata={"topic": "demo"})
    equal(openai.metadata(ALICE, id), {"topic": "demo"})


@test("what a dialect cannot show is kept and left out there")
def _():
    openai, dify, coze, openhands = DIALECTS
    id = made(openai)
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"secret": 1}'}
    openai.add_item(ALICE, id, call)
    for dialect in (dify, coze, openhands):
        equal(dialect.said(ALICE, id), ["hello from afar"])
    equal(openai.types(ALICE, id), ["message", "function_call"])


@test("a question and its answer are a message of Dify's and two of everybody else's")
def _():
    openai, dify, coze, openhands = DIALECTS
    id = dify.create(ALICE, "hello from afar")
    said = dify.said(ALICE, id)
    equal(len(said), 2)
    for dialect in (openai, coze, openhands):
        equal(dialect.said(ALICE, id), said)
