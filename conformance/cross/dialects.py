"""Each dialect as a small table of functions. An id is passed between them as 32 hexadecimal digits,
all but the low bits of which follow from Coze's decimal form."""

import os

from http_plain import send
from results import equal


class Person:
    """Somebody with a key for each dialect."""

    def __init__(self, name):
        self.keys = {
            dialect: os.environ[f"{dialect.upper()}_KEY_{name}"]
            for dialect in ("openai", "dify", "coze", "openhands")
        }
        # The name that the keys are bound to.
        self.user = f"{name.lower()}-{os.environ['RUN']}"


def decimal(id):
    """The millisecond and the 21 bits after it: 12 of them behind the version, 9 behind the variant."""
    bits = int(id, 16)
    tail = ((bits >> 64) & 0xFFF) << 9 | (bits >> 53) & 0x1FF
    return str((bits >> 80) << 21 | tail)


class Dialect:
    titled = True

    def __init__(self):
        self.url = os.environ[f"{self.name.upper()}_URL"]

    def headers(self, who):
        return {"authorization": f"Bearer {who.keys[self.name]}"}

    def call(self, who, method, path, body=None):
        return send(method, self.url + path, body, self.headers(who))

    def ok(self, who, method, path, body=None):
        """The body of an answer that has to be a good one."""
        answer = self.call(who, method, path, body)
        if answer.status not in (200, 204) or (self.name == "coze" and answer.json["code"] != 0):
            raise AssertionError(f"{self.name} {method} {path}: {answer}")
        return answer.json if answer.body else None


class OpenAI(Dialect):
    name, titled = "openai", False

    def form(self, id):
        return f"conv_{id}"

    def path(self, id, more=""):
        return f"/v1/conversations/{self.form(id)}{more}"

    def create(self, who, said, metadata=None):
        body = {"items": [{"role": "user", "content": said}], "metadata": metadata}
        return self.ok(who, "POST", "/v1/conversations", body)["id"].removeprefix("conv_")

    def listed(self, who):
        rows = self.ok(who, "GET", "/v1/conversations?limit=100")["data"]
        return [row["id"].removeprefix("conv_") for row in rows]

    def exists(self, who, id):
        return self.call(who, "GET", self.path(id)).status == 200

    def items(self, who, id):
        return self.ok(who, "GET", self.path(id, "/items?order=asc&limit=100"))["data"]

    def said(self, who, id):
        messages = [item for item in self.items(who, id) if item["type"] == "message"]
        return [part["text"] for item in messages for part in item["content"]]

    def types(self, who, id):
        return [item["type"] for item in self.items(who, id)]

    def add_item(self, who, id, item):
        self.ok(who, "POST", self.path(id, "/items"), {"items": [item]})

    def add(self, who, id, said):
        self.add_item(who, id, {"role": "user", "content": said})

    def metadata(self, who, id):
        return self.ok(who, "GET", self.path(id))["metadata"]

    def delete(self, who, id):
        equal(self.ok(who, "DELETE", self.path(id))["deleted"], True)

    def delete_fails(self, who, id):
        return self.call(who, "DELETE", self.path(id)).status == 404


class Dify(Dialect):
    name = "dify"

    def form(self, id):
        return "-".join((id[:8], id[8:12], id[12:16], id[16:20], id[20:]))

    def path(self, id, more=""):
        return f"/v1/conversations/{self.form(id)}{more}"

    def ask(self, who, said, id=None):
        body = {"inputs": {}, "query": said, "user": who.user, "conversation_id": id}
        return self.ok(who, "POST", "/v1/chat-messages", body)["conversation_id"].replace("-", "")

    def create(self, who, said):
        return self.ask(who, said)

    def rows(self, who):
        return self.ok(who, "GET", f"/v1/conversations?limit=100&user={who.user}")["data"]

    def listed(self, who):
        return [row["id"].replace("-", "") for row in self.rows(who)]

    def messages(self, who, id):
        query = f"conversation_id={self.form(id)}&limit=100&user={who.user}"
        return self.call(who, "GET", f"/v1/messages?{query}")

    def exists(self, who, id):
        return self.messages(who, id).status == 200

    def said(self, who, id):
        rows = self.messages(who, id).json["data"]
        return [text for row in rows for text in (row["query"], row["answer"]) if text]

    def add(self, who, id, said):
        equal(self.ask(who, said, self.form(id)), id)

    def title(self, who, id):
        return next(row["name"] for row in self.rows(who) if row["id"] == self.form(id))

    def rename(self, who, id, title):
        self.ok(who, "POST", self.path(id, "/name"), {"name": title, "user": who.user})

    def delete(self, who, id):
        equal(self.call(who, "DELETE", self.path(id), {"user": who.user}).status, 204)

    def delete_fails(self, who, id):
        return self.call(who, "DELETE", self.path(id), {"user": who.user}).status == 404


class Coze(Dialect):
    name = "coze"

    def form(self, id):
        return decimal(id)

    def query(self, id):
        return f"conversation_id={self.form(id)}"

    def create(self, who, said, metadata=None):
        message = {"role": "user", "type": "question", "content": said, "content_type": "text"}
        body = {"messages": [message], "bot_id": os.environ["COZE_BOT_ID"], "meta_data": metadata}
        made = self.ok(who, "POST", "/v1/conversation/create", body)["data"]["id"]
        # Coze's form leaves bits out: another dialect's list has them.
        return next(id for id in OPENAI.listed(who) if decimal(id) == made)

    def rows(self, who):
        path = f"/v1/conversations?bot_id={os.environ['COZE_BOT_ID']}&page_size=50"
        return self.ok(who, "GET", path)["data"]["conversations"]

    def listed(self, who):
        known = {decimal(id): id for id in OPENAI.listed(who)}
        return [known.get(row["id"], row["id"]) for row in self.rows(who)]

    def read(self, who, id):
        return self.call(who, "GET", f"/v1/conversation/retrieve?{self.query(id)}").json

    def exists(self, who, id):
        return self.read(who, id)["code"] == 0

    def said(self, who, id):
        path = f"/v1/conversation/message/list?{self.query(id)}"
        return [row["content"] for row in self.ok(who, "POST", path, {"order": "asc"})["data"]]

    def add(self, who, id, said):
        body = {"role": "user", "content": said, "content_type": "text"}
        self.ok(who, "POST", f"/v1/conversation/message/create?{self.query(id)}", body)

    def metadata(self, who, id):
        return self.read(who, id)["data"]["meta_data"]

    def title(self, who, id):
        return self.read(who, id)["data"]["name"]

    def rename(self, who, id, title):
        self.ok(who, "PUT", f"/v1/conversations/{self.form(id)}", {"name": title})

    def delete(self, who, id):
        self.ok(who, "DELETE", f"/v1/conversations/{self.form(id)}")

    def delete_fails(self, who, id):
        return self.call(who, "DELETE", f"/v1/conversations/{self.form(id)}").json["code"] == 4200


class OpenHands(Dialect):
    name = "openhands"

    def headers(self, who):
        return {"x-session-api-key": who.keys[self.name]}

    def form(self, id):
        return id

    def path(self, id, more=""):
        return f"/api/conversations/{id}{more}"

    def create(self, who, said):
        body = {"initial_user_msg": said}
        id = self.ok(who, "POST", "/api/conversations", body)["conversation_id"]
        self.wait(who, id)
        return id

    def events(self, who, id):
        return self.ok(who, "GET", self.path(id, "/events?limit=100"))["events"]

    def wait(self, who, id):
        """Waits until the last message is answered."""
        while True:
            states, said = [], 0
            for row in self.events(who, id):
                if row.get("observation") == "agent_state_changed":
                    states.append((row["id"], row["extras"]["agent_state"]))
                elif row.get("action") == "message" and row["source"] == "user":
                    said = row["id"]
            after = [state for at, state in states if at > said]
            if "running" in after and after[-1] != "running":
                return

    def listed(self, who):
        rows = self.ok(who, "GET", "/api/conversations?limit=100")["results"]
        return [row["conversation_id"] for row in rows]

    def exists(self, who, id):
        return self.ok(who, "GET", self.path(id)) is not None

    def said(self, who, id):
        return [row["message"] for row in self.events(who, id) if row.get("action") == "message"]

    def add(self, who, id, said):
        # An agent that was never started here has no loop to take an event.
        self.ok(who, "POST", self.path(id, "/start"), {})
        event = {"action": "message", "args": {"content": said}}
        self.ok(who, "POST", self.path(id, "/events"), event)
        self.wait(who, id)

    def title(self, who, id):
        return self.ok(who, "GET", self.path(id))["title"]

    def rename(self, who, id, title):
        equal(self.ok(who, "PATCH", self.path(id), {"title": title}), True)

    def delete(self, who, id):
        equal(self.ok(who, "DELETE", self.path(id)), True)

    def delete_fails(self, who, id):
        return self.ok(who, "DELETE", self.path(id)) is False


OPENAI = OpenAI()
DIALECTS = [OPENAI, Dify(), Coze(), OpenHands()]
