"""Who asks: accounts, tokens, permissions."""

from conversations import LOGID, refused
from cozepy import Coze, CozeAPIError, TokenAuth
from http_plain import send
from results import equal, holds, raises, test


def run(world):
    @test("an account knows itself")
    def _():
        me = world.alice.client.users.me()
        holds(me.user_id.isdigit(), me.user_id)
        for text in (me.user_name, me.nick_name, me.avatar_url):
            holds(isinstance(text, str))

    @test("an account is the creator of its conversations")
    def _():
        made = world.alice.client.conversations.create()
        equal(world.alice.client.users.me().user_id, made.creator_id)
        equal(world.reader.client.users.me().user_id, made.creator_id)

    permissions(world)
    tokens(world)
    paths(world)


def permissions(world):
    alice, reader = world.alice.client.conversations, world.reader.client.conversations

    @test("a token with a permission may do what it permits")
    def _():
        made = reader.create(name="mine")
        equal(reader.retrieve(conversation_id=made.id).name, "mine")
        holds(any(row.id == made.id for row in reader.list(bot_id=world.bot)))

    @test("without editConversation nothing is renamed, cleared or deleted")
    def _():
        made = alice.create(name="mine")
        one = {"conversation_id": made.id}
        for call in (
            lambda: reader.update(**one, name="theirs"),
            lambda: reader.clear(**one),
            lambda: reader.delete(**one),
        ):
            refused(4101, call)
        equal(alice.retrieve(**one).name, "mine")

    @test("without permissions for messages there are none")
    def _():
        made = alice.create()
        one = {"conversation_id": made.id}
        new = {"role": "user", "content": "x", "content_type": "text"}
        refused(4101, lambda: reader.messages.create(**one, **new))
        refused(4101, lambda: reader.messages.list(**one))

    @test("permission is asked before existence")
    def _():
        refused(4101, lambda: reader.delete(conversation_id="7000000000000000001"))


def tokens(world):
    @test("a wrong token is 401, with Coze's code")
    def _():
        # At the root it is the form of a token that says whose words to use.
        wrong = Coze(auth=TokenAuth(token="pat_wrong"), base_url=world.url.removesuffix("/v1"))
        error = raises(CozeAPIError, lambda: wrong.conversations.create())
        equal((error.code, error.msg), (700012006, "access token invalid"))

    @test("no token and a wrong one are answered alike")
    def _():
        url = f"{world.url}/conversation/create"
        for headers in ({}, {"authorization": "Bearer pat_wrong"}, {"authorization": "pat_wrong"}):
            answer = send("POST", url, {}, headers)
            equal((answer.status, answer.json["code"]), (401, 700012006))
            equal(answer.json["msg"], "access token invalid")
            holds(LOGID.fullmatch(answer.headers["x-tt-logid"]), "logid")


def paths(world):
    @test("an unknown path is 404, in Coze's words")
    def _():
        answer = send("GET", f"{world.url}/nothing", headers=world.alice.headers)
        path = world.url.split("/", 3)[3]
        said = (
            f"The requested API endpoint GET /{path}/nothing does not exist. "
            "Please verify the URL and try again."
        )
        equal((answer.status, answer.json["code"], answer.json["msg"]), (404, 4000, said))

    @test("a body that is no JSON is refused in Coze's words")
    def _():
        headers = world.alice.headers | {"content-type": "application/json"}
        answer = send("POST", f"{world.url}/conversation/create", headers=headers, raw="{")
        equal((answer.status, answer.json["code"]), (200, 4000))
