// Responses, chat completions and models, as `openai` for Node asks for them.

import { BadRequestError, InternalServerError, NotFoundError } from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { equal, holds, rejects, send, test } from "../lib/results.mjs";

const { MODEL_URL, RUN } = process.env;
const MODEL = "scripted";
const UNKNOWN = `resp_${"0".repeat(32)}`;
const Place = z.object({ name: z.string(), population: z.number().int().min(1), tags: z.array(z.string()) });
const PLACE = { name: "text", population: 1, tags: ["text"] };
const WEATHER = {
  type: "function",
  name: "weather",
  strict: true,
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: false,
  },
};

let gates = 0;
/** A text that the model answers so. */
const script = (answer) => `[[script: ${JSON.stringify(answer)}]]`;
const newGate = () => `${RUN}-node-${(gates += 1)}`;
const open = (gate) => send("POST", `${MODEL_URL}/gates/${gate}`);
const ask = (input, more = {}) => ({ model: MODEL, input, ...more });

async function all(rows) {
  const list = [];
  for await (const row of rows) list.push(row);
  return list;
}

const outputs = (response, output = "sunny") =>
  response.output
    .filter((item) => item.type === "function_call")
    .map(({ call_id }) => ({ type: "function_call_output", call_id, output }));

async function refused(promise, kind, code, param) {
  const error = await rejects(promise);
  holds(error instanceof kind, `${error?.constructor?.name}: ${error?.message}`);
  equal([error.code, error.param], [code, param]);
}

export async function responses(name, make) {
  const client = make(`${RUN}-${name}-responses`);
  const api = client.responses;

  await test(`${name}: a response is made, read and deleted`, async () => {
    const response = await api.create(ask("hello", { metadata: { a: "b" } }));
    equal([response.status, response.output_text], ["completed", "You said: hello"]);
    const read = await api.retrieve(response.id);
    equal([read.id, read.output_text, read.metadata], [response.id, "You said: hello", { a: "b" }]);
    const inputs = await all(api.inputItems.list(response.id));
    equal(inputs.map((item) => item.content[0].text), ["hello"]);
    await api.delete(response.id);
    await refused(api.retrieve(response.id), NotFoundError, null, null);
    await refused(api.delete(response.id), NotFoundError, null, null);
  });

  await test(`${name}: responses go on from each other, and in conversations`, async () => {
    const first = await api.create(ask("one"));
    const second = await api.create(ask("two", { previous_response_id: first.id }));
    equal(second.previous_response_id, first.id);
    const conversation = await client.conversations.create();
    await api.create(ask("one", { conversation: conversation.id }));
    const last = await api.create(ask("two", { conversation: { id: conversation.id } }));
    equal(last.conversation, { id: conversation.id });
    const items = await all(client.conversations.items.list(conversation.id, { order: "asc" }));
    equal(items.map((item) => item.content[0].text), ["one", "You said: one", "two", "You said: two"]);
  });

  await test(`${name}: a response is streamed`, async () => {
    const events = await all(await api.create(ask(script({ pieces: ["a ", "b"] }), { stream: true })));
    equal(events.map((event) => event.sequence_number), [...events.keys()]);
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    equal(deltas.map((event) => event.delta), ["a ", "b"]);
    equal([events[0].type, events.at(-1).type], ["response.created", "response.completed"]);
  });

  await test(`${name}: the SDK puts a stream together`, async () => {
    const stream = api.stream(ask(script({ pieces: ["a ", "b"] })));
    let text = "";
    stream.on("response.output_text.delta", (event) => (text = event.snapshot));
    const final = await stream.finalResponse();
    equal([text, final.output_text], ["a b", "a b"]);
  });

  await test(`${name}: a stream is taken up where it was`, async () => {
    const gate = newGate();
    const input = script({ steps: [{ text: "a " }, { gate }, { text: "b" }] });
    const seen = [];
    for await (const event of await api.create(ask(input, { background: true, stream: true }))) {
      seen.push(event);
      if (event.type === "response.output_text.delta") break;
    }
    await open(gate);
    const { response } = seen[0];
    const after = seen.at(-1).sequence_number;
    const rest = await all(await api.retrieve(response.id, { stream: true, starting_after: after }));
    equal(rest[0].sequence_number, after + 1);
    equal(rest.at(-1).response.output_text ?? rest.at(-1).response.output[0].content[0].text, "a b");
  });

  await test(`${name}: an answer is parsed by zod`, async () => {
    const text = { format: zodTextFormat(Place, "place") };
    const response = await api.parse(ask("a place", { text }));
    equal(response.output_parsed, PLACE);
    const streamed = await api.stream(ask("a place", { text })).finalResponse();
    equal(streamed.output_parsed, PLACE);
  });

  await test(`${name}: a loop of function calls`, async () => {
    const input = [{ role: "user", content: "weather?" }];
    let response = await api.create(ask(input, { tools: [WEATHER], store: false }));
    equal(JSON.parse(response.output[0].arguments), { city: "text" });
    input.push(...response.output, ...outputs(response));
    response = await api.create(ask(input, { tools: [WEATHER], store: false }));
    equal(response.output_text, "The tool said: sunny");
  });

  await test(`${name}: a streamed loop of function calls, parsed by zod`, async () => {
    const parameters = z.object({ city: z.string() });
    const tools = [zodResponsesFunction({ name: "weather", parameters })];
    const first = await api.stream(ask("weather?", { tools })).finalResponse();
    equal(first.output[0].parsed_arguments, { city: "text" });
    const more = { tools, previous_response_id: first.id };
    const second = await api.stream(ask(outputs(first), more)).finalResponse();
    equal(second.output_text, "The tool said: sunny");
  });

  await test(`${name}: a response in the background is cancelled`, async () => {
    const input = script({ steps: [{ gate: newGate() }] });
    const response = await api.create(ask(input, { background: true }));
    holds(["queued", "in_progress"].includes(response.status), response.status);
    equal((await api.cancel(response.id)).status, "cancelled");
    equal((await api.retrieve(response.id)).status, "cancelled");
  });

  await test(`${name}: input is counted, and compacted`, async () => {
    const count = await api.inputTokens.count({ model: MODEL, input: "hello" });
    holds(count.object === "response.input_tokens" && count.input_tokens > 0, JSON.stringify(count));
    const compact = await api.compact({ model: MODEL, input: [{ role: "user", content: "hello" }] });
    equal([compact.object, compact.output.at(-1).type], ["response.compaction", "compaction"]);
  });

  await test(`${name}: what is wrong with a response is said as the SDK expects`, async () => {
    await refused(api.retrieve(UNKNOWN), NotFoundError, null, null);
    const previous = api.create(ask("x", { previous_response_id: UNKNOWN }));
    await refused(previous, BadRequestError, "previous_response_not_found", "previous_response_id");
    const tokens = api.create(ask("x", { max_output_tokens: 1 }));
    await refused(tokens, BadRequestError, "integer_below_min_value", "max_output_tokens");
    const hosted = await rejects(api.create(ask("x", { tools: [{ type: "web_search" }] })));
    holds(hosted instanceof BadRequestError && hosted.message.includes("web_search"), hosted.message);
  });

  await test(`${name}: two responses at once in a conversation are one too many`, async () => {
    const [gate, conversation] = [newGate(), (await client.conversations.create()).id];
    const held = ask(script({ steps: [{ gate }, { text: "done" }] }), { conversation, stream: true });
    const stream = await api.create(held);
    const locked = api.create(ask("x", { conversation }));
    await refused(locked, BadRequestError, "conversation_locked", "conversation");
    await open(gate);
    equal((await all(stream)).at(-1).type, "response.completed");
  });

  await test(`${name}: another user finds no response`, async () => {
    const response = await api.create(ask("hello"));
    for (const user of [`${RUN}-${name}-other`, undefined]) {
      const other = make(user).responses;
      await refused(other.retrieve(response.id), NotFoundError, null, null);
      await refused(other.cancel(response.id), NotFoundError, null, null);
      await refused(other.delete(response.id), NotFoundError, null, null);
    }
    equal((await api.retrieve(response.id)).id, response.id);
  });
}

export async function chat(name, make) {
  const client = make(`${RUN}-${name}-chat`);
  const api = client.chat.completions;
  const say = (content, more = {}) => ({ model: MODEL, messages: [{ role: "user", content }], ...more });

  await test(`${name}: a chat is completed, streamed and parsed`, async () => {
    const completion = await api.create(say("hello"));
    equal(completion.choices[0].message.content, "You said: hello");
    const chunks = await all(await api.create(say("hello", { stream: true })));
    equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), "You said: hello");
    const whole = await api.stream(say("hello")).finalContent();
    equal(whole, "You said: hello");
  });

  await test(`${name}: a chat runs functions`, async () => {
    const runner = api.runTools(
      say("weather?", {
        tools: [
          {
            type: "function",
            function: {
              name: "weather",
              parameters: WEATHER.parameters,
              parse: JSON.parse,
              function: ({ city }) => `sunny in ${city}`,
            },
          },
        ],
      }),
    );
    equal(await runner.finalContent(), "The tool said: sunny in text");
  });

  await test(`${name}: a refusal of a chat is passed on, of our own key it is not`, async () => {
    const error = { message: "too hot", type: "invalid_request_error", param: "temperature", code: "odd" };
    await refused(api.create(say(script({ status: 400, error }))), BadRequestError, "odd", "temperature");
    const own = await rejects(api.create(say(script({ status: 401 }))));
    holds(own instanceof InternalServerError, `${own}`);
  });

  await test(`${name}: models are listed and read`, async () => {
    const models = await all(client.models.list());
    const names = models.map((model) => model.id);
    holds(names.includes("default") && names.includes(MODEL), names.join(" "));
    equal(await client.models.retrieve(MODEL), models.find((model) => model.id === MODEL));
    await refused(client.models.retrieve("gpt-none"), NotFoundError, "model_not_found", "model");
  });
}

/** What only Azure has. `make` takes options of `AzureOpenAI`. */
export async function azure(make) {
  const messages = [{ role: "user", content: "hello" }];

  await test("AzureOpenAI: a deployment is the model, whatever the call says", async () => {
    const client = make({ deployment: MODEL });
    const completion = await client.chat.completions.create({ model: "gpt-4o", messages });
    equal([completion.model, completion.choices[0].message.content], [MODEL, "You said: hello"]);
    const response = await client.responses.create(ask("hello"));
    equal(response.output_text, "You said: hello");
  });

  await test("AzureOpenAI: a token is as good as a key", async () => {
    const client = make({ apiKey: undefined, azureADTokenProvider: async () => process.env.OPENAI_KEY });
    equal((await client.responses.create(ask("hello"))).output_text, "You said: hello");
  });
}
