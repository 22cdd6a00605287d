"""Events: read, added, told as a trajectory."""

import re

from conversations import UNKNOWN, answers
from results import equal, holds, test
from scripted import Gate, script

NAIVE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
MESSAGE_ARGS = {"content": "hello", "file_urls": None, "image_urls": [], "wait_for_response": False}


def message(content, **args):
    return {"action": "message", "args": {"content": content, **args}}


def state(row):
    """The agent's state that an event tells of."""
    return row["extras"]["agent_state"] if row.get("observation") == "agent_state_changed" else None


def is_settled(rows):
    """Whether all that the user has said is answered."""
    said = [row["id"] for row in rows if row["source"] == "user" and row.get("action") == "message"]
    begun = [row["id"] for row in rows if state(row) == "running"]
    return state(rows[-1]) not in (None, "running") and (not said or (begun and begun[-1] > said[-1]))


def run(world):
    alice = world.alice

    def events(id, query=""):
        return alice.get(f"/api/conversations/{id}/events{query}").json

    def settled(id):
        """All events, when everything is answered."""
        while True:
            rows, has_more = [], True
            while has_more:
                page = events(id, f"?limit=100&start_id={rows[-1]['id'] + 1 if rows else 0}")
                rows += page["events"]
                has_more = page["has_more"]
            if is_settled(rows):
                return rows

    shapes(alice, events)
    windows(alice, events, settled)
    added(alice, events)
    answered(alice, settled)

    @test("a trajectory tells the events in order")
    def _():
        id = alice.create(initial_user_msg="hello")
        settled(id)
        told = alice.get(f"/api/conversations/{id}/trajectory").json
        equal(list(told), ["trajectory"])
        equal(told["trajectory"], events(id)["events"])


def shapes(alice, events):
    @test("a fresh conversation begins as recorded")
    def _():
        first = events(alice.create())["events"][0]
        holds(NAIVE.fullmatch(first.pop("timestamp")), "timestamp")
        wanted = {
            "id": 0, "source": "environment", "message": "", "observation": "agent_state_changed",
            "content": "", "extras": {"agent_state": "loading", "reason": ""},
        }
        equal(first, wanted)

    @test("ids count from 0 and every event has what the frontend asks for")
    def _():
        rows = events(alice.create(initial_user_msg="hello"))["events"]
        equal([row["id"] for row in rows], list(range(len(rows))))
        for row in rows:
            for field in ("id", "source", "message", "timestamp"):
                holds(field in row, f"{field} in {row}")
            holds(("action" in row) != ("observation" in row), f"{row}")

    @test("the first message is a user's, as recorded")
    def _():
        rows = events(alice.create(initial_user_msg="hello"))["events"]
        messages = [row for row in rows if row.get("action") == "message"]
        first = messages[0]
        equal(list(first), ["id", "timestamp", "source", "message", "action", "args"])
        equal((first["source"], first["message"], first["args"]), ("user", "hello", MESSAGE_ARGS))


def windows(alice, events, settled):
    id = alice.create(initial_user_msg="zero")
    for number in range(25):
        alice.post(f"/api/conversations/{id}/events", message(f"n{number}"))
    whole = settled(id)
    last = whole[-1]["id"]

    def ids(query):
        page = events(id, query)
        return [row["id"] for row in page["events"]], page["has_more"]

    @test("events are read 20 at a time, from the start")
    def _():
        equal(ids(""), (list(range(20)), True))

    @test("events are read on from an id")
    def _():
        equal(ids(f"?start_id={last - 2}"), ([last - 2, last - 1, last], False))

    @test("end_id is the last event, not the first beyond")
    def _():
        got, _ = ids("?start_id=1&end_id=3")
        equal(got, [1, 2, 3])

    @test("events are read from the end")
    def _():
        equal(ids("?reverse=true&limit=2"), ([last, last - 1], True))

    @test("an exactly full page of events is the last one")
    def _():
        equal(ids(f"?start_id={last - 1}&limit=2"), ([last - 1, last], False))

    @test("limit 0 is an empty page of more")
    def _():
        answers(alice.get(f"/api/conversations/{id}/events?limit=0"), 200, '{"events":[],"has_more":true}')

    @test("limits of 101 and -1 are refused as recorded")
    def _():
        for limit in (101, -1):
            answer = alice.get(f"/api/conversations/{id}/events?limit={limit}")
            answers(answer, 400, '{"detail":"Invalid limit"}')

    @test("events can be searched for")
    def _():
        answer = alice.get(f"/api/conversations/{id}/events", body={"query": "N24", "source": "user"})
        equal([row["message"] for row in answer.json["events"]], ["n24"])


def added(alice, events):
    @test("a message is added, and becomes the user's")
    def _():
        id = alice.create()
        answer = alice.post(f"/api/conversations/{id}/events", message("hello", image_urls=[]))
        answers(answer, 200, '{"success":true}')
        rows = [row for row in events(id)["events"] if row.get("action") == "message"]
        equal((rows[0]["source"], rows[0]["message"]), ("user", "hello"))
        equal(rows[0]["args"]["content"], "hello")

    @test("an event of another kind keeps its fields")
    def _():
        id = alice.create()
        args = {"command": "ls", "is_input": False, "thought": "", "blocking": False}
        alice.post(f"/api/conversations/{id}/events", {"action": "run", "args": args})
        rows = [row for row in events(id)["events"] if row.get("action") == "run"]
        equal({key: rows[-1]["args"].get(key) for key in args}, args)

    @test("what is no event is refused with a detail (recorded: 500)")
    def _():
        id = alice.create()
        before = events(id)
        for event in ({"foo": 1}, {"action": "fly"}, {"observation": 3}):
            answer = alice.post(f"/api/conversations/{id}/events", event)
            equal((answer.status, "detail" in answer.json), (422, True))
        equal(events(id), before)

    @test("events of an unknown conversation are not found, as recorded")
    def _():
        detail = f'{{"detail":"Conversation {UNKNOWN} not found"}}'
        answers(alice.get(f"/api/conversations/{UNKNOWN}/events"), 404, detail)
        answers(alice.get(f"/api/conversations/{UNKNOWN}/trajectory"), 404, detail)
        answers(alice.get(f"/api/conversations/{UNKNOWN}/config"), 404, detail)
        answers(alice.post(f"/api/conversations/{UNKNOWN}/events", message("x")), 404, detail)

    @test("a conversation's configuration is as recorded")
    def _():
        id = alice.create()
        body = f'{{"runtime_id":null,"session_id":"{id}"}}'
        answers(alice.get(f"/api/conversations/{id}/config"), 200, body)


def told(rows):
    """The messages, and the states of the agent, from the first message on."""
    rows = [row for row in rows if state(row) or row.get("action") == "message"]
    told = [state(row) or f"{row['source']}: {row['message']}" for row in rows]
    return told[next(at for at, row in enumerate(told) if row.startswith("user: ")) :]


def answered(alice, settled):
    def say(id, text):
        answers(alice.post(f"/api/conversations/{id}/events", message(text)), 200, '{"success":true}')

    @test("the first message is answered")
    def _():
        id = alice.create(initial_user_msg="hello")
        wanted = ["user: hello", "running", "agent: You said: hello", "awaiting_user_input"]
        equal(told(settled(id)), wanted)

    @test("a message is answered between two states of the agent")
    def _():
        id = alice.create()
        say(id, "hello")
        wanted = ["user: hello", "running", "agent: You said: hello", "awaiting_user_input"]
        equal(told(settled(id)), wanted)

    @test("a message is answered after the one that is being answered")
    def _():
        gate, id = Gate(), alice.create()
        say(id, script(steps=[{"gate": gate.name}, {"text": "first"}]))
        while state(alice.get(f"/api/conversations/{id}/events?reverse=true&limit=1").json["events"][0]) != "running":
            pass
        say(id, "and?")
        gate.open()
        wanted = ["agent: first", "awaiting_user_input", "running", "agent: You said: and?"]
        equal(told(settled(id))[-5:], [*wanted, "awaiting_user_input"])

    @test("an agent whose model fails says so")
    def _():
        id = alice.create(initial_user_msg=script(status=400, error={"message": "too much"}))
        rows = settled(id)
        equal(state(rows[-1]), "error")
        holds("too much" in rows[-1]["extras"]["reason"], f"{rows[-1]}")

    @test("stopping breaks off what is being answered")
    def _():
        gate = Gate()
        id = alice.create(initial_user_msg=script(steps=[{"text": "well"}, {"gate": gate.name}]))
        alice.post(f"/api/conversations/{id}/stop")
        equal(state(settled(id)[-1]), "stopped")
        gate.open()
