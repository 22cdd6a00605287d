// `openai` for Node, unmodified: as `OpenAI`, and under the prefix also as `AzureOpenAI`.

import OpenAI, { AzureOpenAI, BadRequestError, NotFoundError } from "openai";
import { equal, holds, rejects, test } from "../lib/results.mjs";
import * as more from "./responses.mjs";

const { BASE_URL, SERVER_URL, OPENAI_KEY, RUN } = process.env;

/** A client whose user is its own. */
const openai = (user, apiKey = OPENAI_KEY) =>
  new OpenAI({
    baseURL: `${BASE_URL}/v1`,
    apiKey,
    maxRetries: 0,
    defaultHeaders: user === undefined ? {} : { "x-ms-user-isolation-key": user },
  });
const azureWith = (options) =>
  new AzureOpenAI({
    endpoint: SERVER_URL,
    apiKey: OPENAI_KEY,
    apiVersion: "2025-04-01-preview",
    maxRetries: 0,
    ...options,
  });
const azure = (user, apiKey = OPENAI_KEY) => {
  const defaultHeaders = user === undefined ? {} : { "x-ms-user-isolation-key": user };
  return azureWith({ apiKey, defaultHeaders });
};

const KEYS = ["code", "message", "param", "type"];
const UNKNOWN = `conv_${"0".repeat(32)}`;
const user = (content) => ({ role: "user", content });
const numbered = (count) => Array.from({ length: count }, (_, at) => user(`item ${at}`));
const text = (item) => item.content[0].text;

async function all(pages) {
  const rows = [];
  for await (const row of pages) rows.push(row);
  return rows;
}

/** The error of that class, with these fields. */
async function refused(promise, kind, status, code, param) {
  const error = await rejects(promise);
  holds(error instanceof kind, `${error?.constructor?.name}: ${error?.message}`);
  equal([error.status, error.code, error.param], [status, code, param]);
  equal(Object.keys(error.error).sort(), KEYS);
  return error;
}

async function conversations(name, make) {
  const client = make(`${RUN}-${name}`);
  const api = client.conversations;

  await test(`${name}: a conversation is made, read, changed and deleted`, async () => {
    const made = await api.create({ metadata: { topic: "demo" } });
    equal([made.object, made.metadata], ["conversation", { topic: "demo" }]);
    equal(await api.retrieve(made.id), made);
    const updated = await api.update(made.id, { metadata: { other: "1" } });
    equal([updated.id, updated.metadata], [made.id, { other: "1" }]);
    const gone = await api.delete(made.id);
    equal(gone, { id: made.id, object: "conversation.deleted", deleted: true });
    await refused(api.retrieve(made.id), NotFoundError, 404, null, null);
    await refused(api.delete(made.id), NotFoundError, 404, null, null);
  });

  await test(`${name}: a conversation can be made from nothing`, async () => {
    equal((await api.create()).metadata, {});
  });

  await test(`${name}: an unknown conversation is not found`, async () => {
    const error = await refused(api.retrieve(UNKNOWN), NotFoundError, 404, null, null);
    equal(error.error.message, `Conversation with id '${UNKNOWN}' not found.`);
  });

  await test(`${name}: 17 pairs of metadata are refused`, async () => {
    const pairs = Array.from({ length: 17 }, (_, at) => [`k${at}`, "v"]);
    const call = api.create({ metadata: Object.fromEntries(pairs) });
    await refused(call, BadRequestError, 400, "object_above_max_properties", "metadata");
  });

  await test(`${name}: the SDK knows the request's id`, async () => {
    holds((await api.create())._request_id);
  });

  await test(`${name}: another user finds nothing`, async () => {
    const made = await api.create();
    const other = make(`${RUN}-${name}-other`).conversations;
    await refused(other.retrieve(made.id), NotFoundError, 404, null, null);
    await refused(other.delete(made.id), NotFoundError, 404, null, null);
    await refused(make(undefined).conversations.retrieve(made.id), NotFoundError, 404, null, null);
    equal(await api.retrieve(made.id), made);
  });

  await test(`${name}: a wrong key is refused`, async () => {
    const error = await rejects(make(undefined, "sk-wrong").conversations.create());
    equal([error.status, error.code], [401, "invalid_api_key"]);
  });
}

async function items(name, make) {
  const api = make(`${RUN}-${name}-items`).conversations;

  await test(`${name}: items are added, read, listed and removed`, async () => {
    const made = await api.create();
    const added = await api.items.create(made.id, { items: numbered(3) });
    equal([added.object, added.has_more, added.data.map(text)], [
      "list", false, ["item 0", "item 1", "item 2"],
    ]);
    const [first, second] = added.data;
    const read = await api.items.retrieve(second.id, { conversation_id: made.id });
    equal(read, second);
    const after = await api.items.delete(first.id, { conversation_id: made.id });
    equal([after.object, after.id], ["conversation", made.id]);
    equal((await api.items.list(made.id)).data.map(text), ["item 2", "item 1"]);
    const missing = api.items.retrieve(first.id, { conversation_id: made.id });
    await refused(missing, NotFoundError, 404, null, null);
  });

  await test(`${name}: the SDK pages through 120 items in both orders`, async () => {
    const made = await api.create();
    const ids = [];
    for (let call = 0; call < 6; call += 1) {
      const added = await api.items.create(made.id, { items: numbered(20) });
      ids.push(...added.data.map((item) => item.id));
    }
    const oldest = await all(api.items.list(made.id, { order: "asc", limit: 7 }));
    equal(oldest.map((item) => item.id), ids);
    const newest = await all(api.items.list(made.id, { limit: 100 }));
    equal(newest.map((item) => item.id), ids.reverse());
  });

  await test(`${name}: tool calls and what they give keep their fields`, async () => {
    const given = [
      { type: "function_call", call_id: "call_1", name: "f", arguments: "{}" },
      { type: "function_call_output", call_id: "call_1", output: "42" },
      { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "so" }] },
    ];
    const made = await api.create({ items: given });
    const listed = (await api.items.list(made.id, { order: "asc" })).data;
    given.forEach((item, at) => {
      const got = Object.fromEntries(Object.keys(item).map((key) => [key, listed[at][key]]));
      equal(got, item);
      equal(listed[at].status, "completed");
    });
  });

  await test(`${name}: 21 items at a time are refused`, async () => {
    const made = await api.create();
    const call = api.items.create(made.id, { items: numbered(21) });
    await refused(call, BadRequestError, 400, "array_above_max_length", "items");
  });

  await test(`${name}: limit 0 is a valid page, limit 101 is refused`, async () => {
    const made = await api.create({ items: numbered(1) });
    equal((await api.items.list(made.id, { limit: 0 })).data, []);
    const call = api.items.list(made.id, { limit: 101 });
    await refused(call, BadRequestError, 400, "integer_above_max_value", "limit");
  });

  await test(`${name}: what may be included may be asked for`, async () => {
    const made = await api.create({ items: numbered(1) });
    const include = ["message.output_text.logprobs"];
    equal((await api.items.list(made.id, { include })).data.length, 1);
  });
}

const flavours = [["OpenAI", openai]];
if (BASE_URL !== SERVER_URL) flavours.push(["AzureOpenAI", azure]);
for (const [name, make] of flavours) {
  await conversations(name, make);
  await items(name, make);
  await more.responses(name, make);
  await more.chat(name, make);
}
if (BASE_URL !== SERVER_URL) await more.azure(azureWith);
