// Questions and answers, blocking and as a stream; stopping; renaming.

import { equal, holds, rejects, send, test } from "../lib/results.mjs";

const { DIFY_KEY } = process.env;
const AUTH = { authorization: `Bearer ${DIFY_KEY}` };
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The frames of an event stream: those with data as their JSON, others as their text. */
async function frames(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  holds(text.endsWith("\n\n"), `the stream ends with a whole frame: ${text.slice(-80)}`);
  return text.slice(0, -2).split("\n\n").map((frame) =>
    frame.startsWith("data: ") ? JSON.parse(frame.slice(6)) : frame);
}

export async function chat({ url, client, user, ask }) {
  await test("a question is answered, and makes a conversation", async () => {
    const who = user("chat-1");
    const response = await client.createChatMessage({}, "hello there", who, false);
    equal(response.status, 200);
    const answer = response.data;
    equal([answer.event, answer.mode], ["message", "advanced-chat"]);
    equal(answer.id, answer.message_id);
    for (const id of ["task_id", "id", "conversation_id"]) holds(UUID.test(answer[id]), id);
    holds(answer.answer.includes("hello there"), answer.answer);
    holds(Number.isInteger(answer.created_at), "created_at");
    holds(Number.isInteger(answer.metadata.usage.total_tokens), "usage");
    const { data } = await client.getConversations(who);
    equal(data.data.map((row) => row.id), [answer.conversation_id]);
  });

  await test("a second question continues the conversation", async () => {
    const who = user("chat-2");
    const first = await ask("one", who);
    const second = await ask("two", who, first.conversation_id);
    equal(second.conversation_id, first.conversation_id);
    const { data } = await client.getConversationMessages(who, first.conversation_id);
    equal(data.data.map((message) => message.query), ["one", "two"]);
    equal(data.data.map((message) => message.id), [first.id, second.id]);
    equal(data.data.map((message) => message.answer), [first.answer, second.answer]);
  });

  await test("an empty conversation_id is a new conversation", async () => {
    const who = user("chat-3");
    const answers = [await ask("a", who, ""), await ask("b", who, null)];
    holds(answers[0].conversation_id !== answers[1].conversation_id);
  });

  await test("without a response_mode the answer is blocking", async () => {
    const body = { inputs: {}, query: "x", user: user("chat-4"), files: null };
    const answer = await send("POST", `${url}/chat-messages`, { body, headers: AUTH });
    equal([answer.status, answer.json.event], [200, "message"]);
  });

  await test("a stream begins with a ping and ends after workflow_finished", async () => {
    const response = await client.createChatMessage({}, "stream this", user("chat-5"), true);
    holds(String(response.headers["content-type"]).startsWith("text/event-stream"));
    const all = await frames(response.data);
    equal(all[0], "event: ping");
    const events = all.filter((frame) => typeof frame === "object");
    const names = events.map((event) => event.event);
    equal(names[0], "workflow_started");
    equal(names.slice(-2), ["message_end", "workflow_finished"]);
    const nodes = names.filter((name) => name.startsWith("node_"));
    equal(nodes.length % 2, 0);
    holds(names.includes("message"));
  });

  await test("every event of a stream names its conversation, message and task", async () => {
    const { data } = await client.createChatMessage({}, "ids", user("chat-6"), true);
    const events = (await frames(data)).filter((frame) => typeof frame === "object");
    for (const field of ["conversation_id", "message_id", "task_id", "created_at"]) {
      const values = new Set(events.map((event) => event[field]));
      equal(values.size, 1);
      holds(!values.has(undefined), field);
    }
  });

  await test("the pieces of a stream are the answer that is stored", async () => {
    const who = user("chat-7");
    const { data } = await client.createChatMessage({}, "piece by piece \u00e9 \u{1f600}", who, true);
    const events = (await frames(data)).filter((frame) => typeof frame === "object");
    const pieces = events.filter((event) => event.event === "message");
    const answer = pieces.map((event) => event.answer).join("");
    const end = events.find((event) => event.event === "workflow_finished");
    equal([end.data.status, end.data.outputs.answer], ["succeeded", answer]);
    const { conversation_id } = end;
    const stored = (await client.getConversationMessages(who, conversation_id)).data.data;
    equal(stored.map((message) => message.answer), [answer]);
    equal(stored[0].id, end.message_id);
  });

  await test("stopping what does not run any more is a success", async () => {
    const body = { user: user("chat-8") };
    const { task_id } = await ask("done already", body.user);
    for (const task of [task_id, "00000000-0000-0000-0000-000000000000"]) {
      const stop = `${url}/chat-messages/${task}/stop`;
      const answer = await send("POST", stop, { body, headers: AUTH });
      equal([answer.status, answer.json], [200, { result: "success" }]);
    }
  });

  await test("stopping needs a user", async () => {
    const stop = `${url}/chat-messages/00000000-0000-0000-0000-000000000000/stop`;
    const answer = await send("POST", stop, { body: {}, headers: AUTH });
    equal([answer.status, answer.json.code], [400, "invalid_param"]);
  });

  await test("a question needs a query, inputs and a user", async () => {
    const whole = { inputs: {}, query: "x", user: user("chat-9") };
    for (const field of Object.keys(whole)) {
      const body = { ...whole, [field]: undefined };
      const answer = await send("POST", `${url}/chat-messages`, { body, headers: AUTH });
      equal([field, answer.status, answer.json.code], [field, 400, "invalid_param"]);
    }
  });

  await test("a conversation_id that is no UUID is refused", async () => {
    const error = await rejects(ask("x", user("chat-10"), "not-a-uuid"));
    equal([error.response.status, error.response.data.code], [400, "invalid_param"]);
  });

  await test("an unknown conversation cannot be continued", async () => {
    const unknown = "00000000-0000-7000-8000-000000000000";
    const error = await rejects(ask("x", user("chat-11"), unknown));
    equal(error.response.data, {
      code: "not_found", message: "Conversation Not Exists.", status: 404,
    });
  });

  await test("a conversation is renamed", async () => {
    const who = user("chat-12");
    const { conversation_id } = await ask("name me", who);
    const renamed = await client.renameConversation(conversation_id, "A name", who, false);
    equal([renamed.status, renamed.data.id, renamed.data.name], [200, conversation_id, "A name"]);
    const keys = ["id", "name", "inputs", "status", "introduction", "created_at", "updated_at"];
    for (const key of keys) holds(key in renamed.data, key);
    const { data } = await client.getConversations(who);
    equal(data.data.map((row) => row.name), ["A name"]);
  });

  await test("a conversation can be given a name by itself", async () => {
    const who = user("chat-13");
    const { conversation_id } = await ask("what is the capital of France?", who);
    const renamed = await client.renameConversation(conversation_id, "", who, true);
    equal(renamed.status, 200);
    holds(renamed.data.name.length > 0, "a name");
  });

  await test("a name is needed where none is to be made", async () => {
    const who = user("chat-14");
    const { conversation_id } = await ask("x", who);
    const error = await rejects(client.renameConversation(conversation_id, "  ", who, false));
    equal([error.response.status, error.response.data.code], [400, "invalid_param"]);
  });
}
