"""Errors and what every answer carries, to the letter of the recordings."""

from conversations import UNKNOWN, answers
from http_plain import send
from results import equal, holds, test

UNAUTHORIZED = '{"detail":"Unauthorized"}'
PROVIDERS = "'github', 'gitlab', 'bitbucket' or 'enterprise_sso'"
TRIGGERS = (
    "'resolver', 'gui', 'suggested_task', 'openhands_api', 'slack', 'microagent_management', "
    "'jira', 'jira_dc' or 'linear'"
)
EXTRA = '{"detail":[{"type":"extra_forbidden","loc":["body","%s"],"msg":"Extra inputs are not permitted","input":1}]}'
BAD_JSON = (
    '{"detail":[{"type":"json_invalid","loc":["body",1],"msg":"JSON decode error","input":{},'
    '"ctx":{"error":"Expecting property name enclosed in double quotes"}}]}'
)
NO_BODY = '{"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]}'
BAD_TYPES = (
    '{"detail":[{"type":"enum","loc":["body","git_provider"],"msg":"Input should be %s",'
    '"input":"x","ctx":{"expected":"%s"}},{"type":"string_type","loc":["body","initial_user_msg"],'
    '"msg":"Input should be a valid string","input":3}]}'
) % (PROVIDERS, PROVIDERS)
BAD_LIMIT = (
    '{"detail":[{"type":"int_parsing","loc":["query","limit"],"msg":"Input should be a valid integer, '
    'unable to parse string as an integer","input":"abc"}]}'
)
BAD_TRIGGER = (
    '{"detail":[{"type":"enum","loc":["query","conversation_trigger"],"msg":"Input should be %s",'
    '"input":"zzz","ctx":{"expected":"%s"}}]}'
) % (TRIGGERS, TRIGGERS)
EMPTY_TITLE = (
    '{"detail":[{"type":"string_too_short","loc":["body","title"],"msg":"String should have at least '
    '1 character","input":"","ctx":{"min_length":1}}]}'
)


def run(world):
    validation(world.alice)
    keys(world)
    open_ways(world)


def validation(alice):
    conversations = "/api/conversations"

    @test("a field that nobody knows is 422 as recorded")
    def _():
        answers(alice.post(conversations, {"foo": 1}), 422, EXTRA % "foo")

    @test("wrong types are 422 as recorded, all in one body")
    def _():
        body = {"initial_user_msg": 3, "git_provider": "x"}
        answers(alice.post(conversations, body), 422, BAD_TYPES)

    @test("a body that is no JSON is 422 as recorded")
    def _():
        headers = {"content-type": "application/json"}
        answers(alice.post(conversations, headers=headers, raw="{"), 422, BAD_JSON)

    @test("a body that is missing is 422 as recorded")
    def _():
        answers(alice.post(conversations), 422, NO_BODY)

    @test("a limit that is no number is 422 as recorded")
    def _():
        answers(alice.get(f"{conversations}?limit=abc"), 422, BAD_LIMIT)

    @test("a trigger that nobody knows is 422 as recorded")
    def _():
        answers(alice.get(f"{conversations}?conversation_trigger=zzz"), 422, BAD_TRIGGER)

    @test("an empty title is 422 as recorded, and one with company too")
    def _():
        path = f"{conversations}/{alice.create()}"
        answers(alice.patch(path, {"title": ""}), 422, EMPTY_TITLE)
        answers(alice.patch(path, {"title": "x", "a": 1}), 422, EXTRA % "a")

    @test("an unknown path is 404 as recorded")
    def _():
        answers(alice.get("/api/nope"), 404, '{"detail":"Not Found"}')

    @test("a wrong method is 405 as recorded, and names all that are right")
    def _():
        answer = alice.send("PUT", f"{conversations}/{UNKNOWN}")
        answers(answer, 405, '{"detail":"Method Not Allowed"}')
        allowed = {method.strip() for method in answer.headers["allow"].split(",")}
        holds({"GET", "DELETE", "PATCH"} <= allowed, f"{allowed}")


def keys(world):
    url = f"{world.base}/api/conversations"

    @test("no key, a wrong one and a bearer are 401 as recorded")
    def _():
        own = world.alice.headers["x-session-api-key"]
        for headers in ({}, {"x-session-api-key": "bad"}, {"authorization": f"Bearer {own}"}):
            answers(send("GET", url, headers=headers), 401, UNAUTHORIZED)
            answers(send("DELETE", f"{url}/abc", headers=headers), 401, UNAUTHORIZED)

    @test("without a key a path's existence is not told by what is in it")
    def _():
        answers(send("POST", url, {"foo": 1}), 401, UNAUTHORIZED)
        answers(send("GET", f"{url}?limit=abc"), 401, UNAUTHORIZED)
        answers(send("GET", f"{url}/{UNKNOWN}"), 401, UNAUTHORIZED)

    @test("a body that is no JSON and a wrong method come before the key, as recorded")
    def _():
        answers(send("POST", url, headers={"content-type": "application/json"}, raw="{"), 422, BAD_JSON)
        answers(send("PUT", f"{url}/abc"), 405, '{"detail":"Method Not Allowed"}')


def open_ways(world):
    @test("the server is alive, without a key")
    def _():
        answers(send("GET", f"{world.base}/alive"), 200, '{"status":"ok"}')
        answers(send("GET", f"{world.base}/health"), 200, '"OK"')

    @test("no answer is to be kept")
    def _():
        wanted = {
            "cache-control": "no-cache, no-store, must-revalidate, max-age=0",
            "pragma": "no-cache",
            "expires": "0",
        }
        for answer in (
            world.alice.get("/api/conversations"),
            send("GET", f"{world.base}/api/conversations"),
            send("GET", f"{world.base}/alive"),
        ):
            equal({name: answer.headers.get(name) for name in wanted}, wanted)
