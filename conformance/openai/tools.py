"""Functions: called, answered, streamed, chosen; and the vendor's own tools, which are refused."""

import json

from conversations import bad
from openai import BadRequestError, pydantic_function_tool
from pydantic import BaseModel
from results import equal, holds, raises, test
from scripted import MODEL, asked, read_by_model, script


def function(name, **properties):
    return {
        "type": "function",
        "name": name,
        "description": f"{name} of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, **properties},
            "required": ["city", *properties],
            "additionalProperties": False,
        },
    }


WEATHER, TIME = function("weather"), function("time")


class GetWeather(BaseModel):
    city: str
    days: int


def run(flavour):
    called(flavour)
    chosen(flavour)
    streamed(flavour)
    unanswered(flavour)
    refused(flavour)


def outputs(response, text="sunny"):
    """What the program's functions give to what the model asks for."""
    calls = [item for item in response.output if item.type == "function_call"]
    holds(calls, f"no call: {response.output}")
    return [{"type": "function_call_output", "call_id": call.call_id, "output": text} for call in calls]


def called(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: the model asks for a function")
    def _():
        response = api.create(model=MODEL, input="weather in Paris?", tools=[WEATHER])
        [call] = response.output
        equal((call.type, call.name, call.status), ("function_call", "weather", "completed"))
        equal(json.loads(call.arguments), {"city": "text"})
        holds(call.id.startswith("fc_") and call.call_id, f"{call}")
        equal((response.status, response.output_text), ("completed", ""))
        [tool] = response.tools
        equal((tool.name, tool.strict, tool.parameters), ("weather", True, WEATHER["parameters"]))
        equal(asked()["tools"][0]["function"]["parameters"], WEATHER["parameters"])

    @test(f"{name}: a loop of calls, the history kept by the program")
    def _():
        history = [{"role": "user", "content": "weather in Paris?"}]
        for _ in range(3):
            response = api.create(model=MODEL, input=history, tools=[WEATHER], store=False)
            history += response.output
            if response.output_text:
                break
            history += outputs(response)
        equal(response.output_text, "The tool said: sunny")
        equal([role for role, _ in read_by_model()], ["user", "assistant", "tool"])

    @test(f"{name}: a loop of calls, each going on from the one before")
    def _():
        first = api.create(model=MODEL, input="weather in Paris?", tools=[WEATHER])
        second = api.create(
            model=MODEL, input=outputs(first), tools=[WEATHER], previous_response_id=first.id
        )
        equal(second.output_text, "The tool said: sunny")
        question = asked()["messages"]
        equal(question[1]["tool_calls"][0]["id"], question[2]["tool_call_id"])

    @test(f"{name}: a loop of calls in a conversation")
    def _():
        conversation = flavour.client.conversations.create()
        first = api.create(model=MODEL, input="weather?", tools=[WEATHER], conversation=conversation.id)
        second = api.create(
            model=MODEL, input=outputs(first), tools=[WEATHER], conversation=conversation.id
        )
        equal(second.output_text, "The tool said: sunny")
        listed = flavour.client.conversations.items.list(conversation.id, order="asc").data
        kinds = ["message", "function_call", "function_call_output", "message"]
        equal([item.type for item in listed], kinds)
        equal(listed[1].call_id, listed[2].call_id)
        equal(listed[2].output, "sunny")

    @test(f"{name}: what a function gives can be parts")
    def _():
        first = api.create(model=MODEL, input="weather in Paris?", tools=[WEATHER])
        [output] = outputs(first)
        output["output"] = [{"type": "input_text", "text": "rain"}]
        second = api.create(model=MODEL, input=[output], tools=[WEATHER], previous_response_id=first.id)
        equal(second.output_text, "The tool said: rain")

    @test(f"{name}: the model asks for several functions at once")
    def _():
        calls = [
            {"id": "call_a", "name": "weather", "arguments": ['{"city":', '"Paris"}']},
            {"id": "call_b", "name": "time", "arguments": ['{"city":"Rome"}']},
        ]
        first = api.create(model=MODEL, input=script(tool_calls=calls), tools=[WEATHER, TIME])
        equal([(c.call_id, c.name) for c in first.output], [("call_a", "weather"), ("call_b", "time")])
        equal(json.loads(first.output[0].arguments), {"city": "Paris"})
        second = api.create(
            model=MODEL, input=outputs(first), tools=[WEATHER, TIME], previous_response_id=first.id
        )
        equal(second.output_text, "The tool said: sunny")
        roles = [message["role"] for message in asked()["messages"]]
        equal(roles, ["user", "assistant", "tool", "tool"])

    @test(f"{name}: the model says something and asks for a function")
    def _():
        text = script(pieces=["Let me see."], tool_calls=[{"name": "weather", "arguments": ["{}"]}])
        response = api.create(model=MODEL, input=text, tools=[WEATHER])
        equal([item.type for item in response.output], ["message", "function_call"])
        equal(response.output_text, "Let me see.")

    @test(f"{name}: arguments are parsed into a class")
    def _():
        tools = [pydantic_function_tool(GetWeather)]
        response = api.parse(model=MODEL, input="weather?", tools=tools)
        equal(response.output[0].parsed_arguments, GetWeather(city="text", days=1))


def chosen(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a function can be chosen, demanded, or forbidden")
    def _():
        tools = [WEATHER, TIME]
        by_name = api.create(
            model=MODEL, input="x", tools=tools, tool_choice={"type": "function", "name": "time"}
        )
        equal(by_name.output[0].name, "time")
        equal(by_name.tool_choice.name, "time")
        required = api.create(model=MODEL, input="x", tools=tools, tool_choice="required")
        equal((required.tool_choice, asked()["tool_choice"]), ("required", "required"))
        none = api.create(model=MODEL, input="x", tools=tools, tool_choice="none")
        equal((none.tool_choice, none.output_text), ("none", "You said: x"))

    @test(f"{name}: some functions can be allowed")
    def _():
        choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "time"}]}
        response = api.create(model=MODEL, input="x", tools=[WEATHER, TIME], tool_choice=choice)
        equal(response.tool_choice.mode, "auto")


def streamed(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a call is streamed, event by event")
    def _():
        events = list(api.create(model=MODEL, input="weather?", tools=[WEATHER], stream=True))
        types = [event.type for event in events]
        start = ["response.created", "response.in_progress", "response.output_item.added"]
        end = ["response.function_call_arguments.done", "response.output_item.done", "response.completed"]
        equal((types[:3], types[-3:]), (start, end))
        equal(set(types[3:-3]), {"response.function_call_arguments.delta"})
        equal((events[2].item.arguments, events[2].item.status), ("", "in_progress"))
        done = events[-3]
        equal("".join(event.delta for event in events[3:-3]), done.arguments)
        equal((done.name, done.item_id), ("weather", events[2].item.id))
        equal(events[-2].item, events[-1].response.output[0])

    @test(f"{name}: the SDK puts a streamed call together")
    def _():
        tools = [pydantic_function_tool(GetWeather)]
        with api.stream(model=MODEL, input="weather?", tools=tools) as stream:
            snapshots = [e.snapshot for e in stream if e.type == "response.function_call_arguments.delta"]
            final = stream.get_final_response()
        equal(final.output[0].parsed_arguments, GetWeather(city="text", days=1))
        equal(json.loads(snapshots[-1]), {"city": "text", "days": 1})

    @test(f"{name}: a streamed loop of calls")
    def _():
        with api.stream(model=MODEL, input="weather?", tools=[WEATHER]) as stream:
            first = stream.get_final_response()
        with api.stream(
            model=MODEL, input=outputs(first), tools=[WEATHER], previous_response_id=first.id
        ) as stream:
            text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        equal(text, "The tool said: sunny")


def unanswered(flavour):
    api, name = flavour.client.responses, flavour.name

    @test(f"{name}: a call that is not answered is missed")
    def _():
        first = api.create(model=MODEL, input="weather?", tools=[WEATHER])
        call_id = first.output[0].call_id
        said = f"No tool output found for function call {call_id}."
        call = lambda: api.create(model=MODEL, input="go on", previous_response_id=first.id)  # noqa: E731
        error = raises(BadRequestError, call)
        equal((error.param, error.body["message"]), ("input", said))

    @test(f"{name}: a call that is not answered is missed in a conversation too")
    def _():
        conversation = flavour.client.conversations.create()
        api.create(model=MODEL, input="weather?", tools=[WEATHER], conversation=conversation.id)
        call = lambda: api.create(model=MODEL, input="go on", conversation=conversation.id)  # noqa: E731
        holds("No tool output found" in raises(BadRequestError, call).body["message"], "other words")


def refused(flavour):
    api, name = flavour.client.responses, flavour.name
    hosted = [
        {"type": "web_search"},
        {"type": "web_search_preview"},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "computer_use_preview", "display_width": 1, "display_height": 1, "environment": "linux"},
        {"type": "image_generation"},
        {"type": "mcp", "server_label": "s", "server_url": "https://example.com"},
        {"type": "local_shell"},
    ]

    for tool in hosted:

        @test(f"{name}: {tool['type']} is refused by its name")
        def _(tool=tool):
            error = raises(BadRequestError, lambda: api.create(model=MODEL, input="x", tools=[WEATHER, tool]))
            holds(tool["type"] in error.body["message"], error.body["message"])
            holds(error.param.startswith("tools[1]"), f"{error.param}")

    @test(f"{name}: a tool without a name is refused")
    def _():
        tool = {key: value for key, value in WEATHER.items() if key != "name"}
        call = lambda: api.create(model=MODEL, input="x", tools=[tool])  # noqa: E731
        bad(call, "missing_required_parameter", "tools[0].name")

    @test(f"{name}: a tool that is not there cannot be chosen")
    def _():
        choice = {"type": "function", "name": "other"}
        call = lambda: api.create(model=MODEL, input="x", tools=[WEATHER], tool_choice=choice)  # noqa: E731
        holds(raises(BadRequestError, call).param.startswith("tool_choice"), "another parameter")
