"""What only Azure has: deployments in the path, tokens instead of keys, agents' endpoints."""

from http_plain import send
from openai import AzureOpenAI, OpenAI
from results import equal, holds, test
from scripted import MODEL, asked, read_by_model


def run(server, key, strict):
    def client(**more):
        return AzureOpenAI(
            azure_endpoint=server, api_version="2025-04-01-preview", **{"api_key": key, **strict, **more}
        )

    messages = [{"role": "user", "content": "hello"}]

    @test("AzureOpenAI: a deployment is the model, whatever the call says")
    def _():
        azure = client(azure_deployment=MODEL)
        completion = azure.chat.completions.create(model="gpt-4o", messages=messages)
        equal((completion.choices[0].message.content, asked()["model"]), ("You said: hello", MODEL))
        chunks = azure.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
        equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks), "You said: hello")

    @test("AzureOpenAI: what is no deployment's is found beside it")
    def _():
        azure = client(azure_deployment=MODEL)
        conversation = azure.conversations.create()
        response = azure.responses.create(model=MODEL, input="hello", conversation=conversation.id)
        equal(azure.responses.retrieve(response.id), response)
        holds(MODEL in [model.id for model in azure.models.list()], "no models")

    @test("AzureOpenAI: a token is as good as a key")
    def _():
        for token in ({"azure_ad_token": key}, {"azure_ad_token_provider": lambda: key}):
            azure = client(api_key=None, **token)
            equal(azure.responses.create(model=MODEL, input="hello").output_text, "You said: hello")
            equal(azure.chat.completions.create(model=MODEL, messages=messages).object, "chat.completion")

    @test("AzureOpenAI: any api-version is taken")
    def _():
        for version in ("2024-10-21", "2025-04-01-preview", "preview", "v1"):
            azure = AzureOpenAI(azure_endpoint=server, api_key=key, api_version=version, **strict)
            equal(azure.responses.create(model=MODEL, input="hello").status, "completed")

    @test("Agent: the agent's instructions are the app's")
    def _():
        base = f"{server}/api/projects/p/agents/assistant/endpoint/protocols/openai"
        agent = OpenAI(base_url=base, api_key=key, default_query={"api-version": "v1"}, **strict)
        response = agent.responses.create(input="hello")
        equal((response.model, response.output_text), (MODEL, "You said: hello"))
        equal(read_by_model()[0][1], "You are the assistant of the tests.")

    @test("Agent: what an agent's endpoint makes is of its app")
    def _():
        base = f"{server}/api/projects/p/agents/assistant/endpoint/protocols/openai"
        headers = {"x-ms-user-isolation-key": "agents"}
        agent = OpenAI(base_url=base, api_key=key, default_headers=headers, **strict)
        conversation = agent.conversations.create()
        url = f"{server}/openai/v1/conversations"
        headers["api-key"] = key
        for name, has in (("assistant", True), ("second", False)):
            rows = send("GET", f"{url}?agent_name={name}", headers=headers).json["data"]
            equal(conversation.id in [row["id"] for row in rows], has)

    @test("AzureOpenAI: a deployment that nobody knows is the key's own model")
    def _():
        completion = client(azure_deployment="gpt-none").chat.completions.create(
            model="x", messages=messages
        )
        equal(completion.object, "chat.completion")
