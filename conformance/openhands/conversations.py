"""Conversations: made, listed, read, renamed, started, stopped, deleted."""

import re

from results import equal, holds, test

UNKNOWN = "0" * 32
INFO = [
    "conversation_id", "title", "last_updated_at", "status", "runtime_status",
    "selected_repository", "selected_branch", "git_provider", "trigger", "num_connections", "url",
    "session_api_key", "created_at", "pr_number",
]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def answers(answer, status, text):
    """The whole answer."""
    equal((answer.status, answer.text), (status, text))


def not_running(id):
    return (
        f'{{"status":"ok","conversation_id":"{id}","message":"Conversation was not running",'
        '"conversation_status":"STOPPED"}'
    )


def run(world):
    made(world.alice)
    listed(world)
    changed(world.alice)
    deleted(world)


def made(alice):
    @test("a conversation can be made from an empty object, on a fresh server")
    def _():
        answer = alice.post("/api/conversations", {})
        id = answer.json["conversation_id"]
        holds(re.fullmatch("[0-9a-f]{32}", id), id)
        body = f'{{"status":"ok","conversation_id":"{id}","message":null,"conversation_status":"STARTING"}}'
        answers(answer, 200, body)

    @test("a conversation shows the recorded fields in the recorded order")
    def _():
        id = alice.create()
        info = alice.get(f"/api/conversations/{id}").json
        equal(list(info), INFO)
        equal((info["conversation_id"], info["title"]), (id, f"Conversation {id[:5]}"))
        equal((info["trigger"], info["num_connections"], info["pr_number"]), ("gui", 0, []))
        equal(info["url"], f"/api/conversations/{id}")
        holds(info["status"] in ("STARTING", "RUNNING"), info["status"])
        for time in ("created_at", "last_updated_at"):
            holds(TIME.fullmatch(info[time]), info[time])

    @test("a conversation keeps what it was made with")
    def _():
        fields = {"repository": "a/b", "git_provider": "github", "selected_branch": "main"}
        info = alice.get(f"/api/conversations/{alice.create(**fields)}").json
        got = (info["selected_repository"], info["git_provider"], info["selected_branch"])
        equal(got, ("a/b", "github", "main"))

    @test("an unknown conversation is null")
    def _():
        answers(alice.get(f"/api/conversations/{UNKNOWN}"), 200, "null")


def listed(world):
    bob = world.bob

    @test("a list without conversations is as recorded")
    def _():
        answers(bob.get("/api/conversations"), 200, '{"results":[],"next_page_id":null}')

    ids = [bob.create(initial_user_msg=f"n{number}") for number in range(5)]

    def page(query=""):
        answer = bob.get(f"/api/conversations{query}").json
        return [row["conversation_id"] for row in answer["results"]], answer["next_page_id"]

    @test("conversations are listed newest first")
    def _():
        equal(page(), (ids[::-1], None))
        equal(list(bob.get("/api/conversations").json["results"][0]), INFO)

    @test("conversations are paged without a gap or a double")
    def _():
        seen, next_page = page("?limit=2")
        while next_page is not None:
            rows, next_page = page(f"?limit=2&page_id={next_page}")
            seen += rows
        equal(seen, ids[::-1])

    @test("an exactly full page of conversations leads nowhere")
    def _():
        equal(page("?limit=5"), (ids[::-1], None))

    @test("limit 0 is a page that leads nowhere (recorded: one that leads to itself)")
    def _():
        answers(bob.get("/api/conversations?limit=0"), 200, '{"results":[],"next_page_id":null}')

    @test("a page_id that nobody gave is 400 (recorded: 500)")
    def _():
        for page_id in ("%21%21", "abc"):
            answer = bob.get(f"/api/conversations?page_id={page_id}")
            equal((answer.status, list(answer.json)), (400, ["detail"]))

    @test("a list is narrowed before it is paged (recorded: after)")
    def _():
        id = bob.create(repository="a/b", git_provider="github")
        bob.create()
        equal(page("?limit=1&selected_repository=a/b"), ([id], None))
        equal(page("?conversation_trigger=slack"), ([], None))

    @test("another user's conversations are not listed")
    def _():
        mine = [row["conversation_id"] for row in world.alice.get("/api/conversations").json["results"]]
        equal([id for id in ids if id in mine], [])


def changed(alice):
    @test("a title loses the blanks around it")
    def _():
        id = alice.create()
        answers(alice.patch(f"/api/conversations/{id}", {"title": "  My title "}), 200, "true")
        equal(alice.get(f"/api/conversations/{id}").json["title"], "My title")

    @test("a blank title is taken, and the default is shown")
    def _():
        id = alice.create()
        answers(alice.patch(f"/api/conversations/{id}", {"title": "   "}), 200, "true")
        equal(alice.get(f"/api/conversations/{id}").json["title"], f"Conversation {id[:5]}")

    @test("an unknown conversation is not renamed")
    def _():
        body = '{"status":"error","message":"Conversation not found","msg_id":"CONVERSATION$NOT_FOUND"}'
        answers(alice.patch(f"/api/conversations/{UNKNOWN}", {"title": "x"}), 404, body)

    @test("a conversation is stopped and started, and says how it was before")
    def _():
        id = alice.create()
        path = f"/api/conversations/{id}"
        alice.post(f"{path}/start", {})
        said = alice.post(f"{path}/stop").json
        equal((said["status"], said["message"]), ("ok", "Conversation stopped successfully"))
        holds(said["conversation_status"] in ("STARTING", "RUNNING"), said["conversation_status"])
        info = alice.get(path).json
        equal((info["status"], info["runtime_status"], info["url"]), ("STOPPED", None, None))
        answers(alice.post(f"{path}/stop"), 200, not_running(id))
        equal(alice.post(f"{path}/start", {"providers_set": []}).json["status"], "ok")
        holds(alice.get(path).json["status"] in ("STARTING", "RUNNING"))

    @test("starting what runs says RUNNING")
    def _():
        id = alice.create()
        alice.get(f"/api/conversations/{id}")
        said = alice.post(f"/api/conversations/{id}/start", {}).json
        equal((said["status"], said["conversation_id"], said["message"]), ("ok", id, None))
        holds(said["conversation_status"] in ("STARTING", "RUNNING"), said["conversation_status"])

    @test("an unknown conversation does not start and was not running")
    def _():
        body = f'{{"status":"error","conversation_id":"{UNKNOWN}"}}'
        answers(alice.post(f"/api/conversations/{UNKNOWN}/start", {}), 404, body)
        answers(alice.post(f"/api/conversations/{UNKNOWN}/stop"), 200, not_running(UNKNOWN))

    @test("a start needs a body")
    def _():
        equal(alice.post(f"/api/conversations/{alice.create()}/start").status, 422)


def deleted(world):
    alice, bob = world.alice, world.bob

    @test("a delete is true, a second one false")
    def _():
        id = alice.create(initial_user_msg="gone soon")
        answers(alice.delete(f"/api/conversations/{id}"), 200, "true")
        answers(alice.delete(f"/api/conversations/{id}"), 200, "false")

    @test("an unknown conversation is not deleted")
    def _():
        answers(alice.delete(f"/api/conversations/{UNKNOWN}"), 200, "false")
        answers(alice.delete("/api/conversations/abc"), 200, "false")

    @test("nothing of a deleted conversation is found, as recorded")
    def _():
        id = alice.create(initial_user_msg="x")
        alice.delete(f"/api/conversations/{id}")
        gone(alice, id)
        rows = alice.get("/api/conversations?limit=100").json["results"]
        equal([row for row in rows if row["conversation_id"] == id], [])

    @test("another user finds nothing, and deletes nothing")
    def _():
        id = alice.create(initial_user_msg="x")
        gone(bob, id)
        equal(alice.get(f"/api/conversations/{id}").json["conversation_id"], id)

    @test("an id that is too long or holds control characters is 400, as from 0.55 on")
    def _():
        for id in ("a" * 101, "a%00b", "a%0Ab", "a%1Fb"):
            answer = alice.delete(f"/api/conversations/{id}")
            equal((answer.status, list(answer.json)), (400, ["detail"]))
        answers(alice.delete(f"/api/conversations/{'a' * 100}"), 200, "false")


def gone(person, id):
    """Everything that names a conversation, as if there were none."""
    path, detail = f"/api/conversations/{id}", f'{{"detail":"Conversation {id} not found"}}'
    answers(person.get(path), 200, "null")
    answers(person.get(f"{path}/events"), 404, detail)
    answers(person.get(f"{path}/config"), 404, detail)
    answers(person.get(f"{path}/trajectory"), 404, detail)
    message = {"action": "message", "args": {"content": "late"}}
    answers(person.post(f"{path}/events", message), 404, detail)
    equal(person.patch(path, {"title": "x"}).status, 404)
    equal(person.post(f"{path}/start", {}).status, 404)
    answers(person.post(f"{path}/stop"), 200, not_running(id))
    answers(person.delete(path), 200, "false")
