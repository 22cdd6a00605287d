// `@coze/api`, unmodified. Renaming and deleting go through its plain calls: it has no methods for them.

import { COZE_CN_BASE_URL, CozeAPI, RoleType } from "@coze/api";
import { equal, holds, rejects, test } from "../lib/results.mjs";

const { BASE_URL, MODEL_URL, RUN, COZE_BOT_ID, COZE_KEY_ALICE, COZE_KEY_BOB, COZE_KEY_READER } = process.env;

const account = (token) => new CozeAPI({ token, baseURL: BASE_URL });
const [alice, bob, reader] = [COZE_KEY_ALICE, COZE_KEY_BOB, COZE_KEY_READER].map(account);
const { conversations } = alice;
const { messages } = conversations;
const UNKNOWN = "7000000000000000001";

const make = (more = {}) => conversations.create({ bot_id: COZE_BOT_ID, ...more });
const add = (id, content) =>
  messages.create(id, { role: RoleType.User, content, content_type: "text" });

/** The error's code, after checking that it knows its logid. */
async function code(promise) {
  const error = await rejects(promise);
  holds(/^\d{14}[0-9A-F]{20}$/.test(error.logid ?? ""), `logid ${error.logid}: ${error}`);
  return error.code;
}

await test("the SDK is pointed at this server", async () => {
  holds(alice.baseURL === BASE_URL && BASE_URL !== COZE_CN_BASE_URL);
});

await test("a conversation is made, and reads as it was made", async () => {
  const made = await make({ meta_data: { topic: "demo" } });
  equal(made.meta_data, { topic: "demo" });
  equal(await conversations.retrieve(made.id), made);
});

await test("messages given at creation are in the conversation at once", async () => {
  const made = await make({
    messages: [
      { role: RoleType.User, content: "hello?", content_type: "text" },
      { role: RoleType.Assistant, content: "hello!", content_type: "text" },
    ],
  });
  const list = await messages.list(made.id, { order: "asc" });
  equal(list.data.map((row) => [row.role, row.content]), [
    ["user", "hello?"], ["assistant", "hello!"],
  ]);
});

await test("conversations are listed, newest first, page by page", async () => {
  const ids = [];
  for (let number = 0; number < 3; number += 1) ids.unshift((await make()).id);
  const first = await conversations.list({ bot_id: COZE_BOT_ID, page_num: 1, page_size: 2 });
  equal(first.conversations.map((row) => row.id), ids.slice(0, 2));
  equal(first.has_more, true);
  const second = await conversations.list({ bot_id: COZE_BOT_ID, page_num: 2, page_size: 2 });
  equal(second.conversations[0].id, ids[2]);
});

await test("messages are added, read, modified, listed and removed", async () => {
  const { id } = await make();
  const first = await add(id, "first");
  const second = await add(id, "second");
  equal((await messages.retrieve(id, first.id)).content, "first");
  const updated = await messages.update(id, first.id, { content: "1st", content_type: "text" });
  equal([updated.id, updated.content], [first.id, "1st"]);
  const list = await messages.list(id);
  equal(list.data.map((row) => row.content), ["second", "1st"]);
  equal([list.first_id, list.last_id, list.has_more], [second.id, first.id, false]);
  equal((await messages.delete(id, first.id)).id, first.id);
  equal((await messages.list(id)).data.map((row) => row.id), [second.id]);
});

await test("a message's content may be a list of parts", async () => {
  const { id } = await make();
  const content = [
    { type: "text", text: "what is this?" },
    { type: "image", file_url: "https://example.com/a.png" },
  ];
  const message = await messages.create(id, {
    role: RoleType.User, content, content_type: "object_string",
  });
  const read = await messages.retrieve(id, message.id);
  equal(JSON.parse(read.content), content);
});

await test("clearing begins a new section and keeps the messages", async () => {
  const made = await make();
  await add(made.id, "kept");
  const section = await conversations.clear(made.id);
  equal(section.conversation_id, made.id);
  equal((await conversations.retrieve(made.id)).last_section_id, section.id);
  equal((await messages.list(made.id)).data.map((row) => row.content), ["kept"]);
});

await test("a conversation is renamed", async () => {
  const { id } = await make();
  const renamed = await alice.put(`/v1/conversations/${id}`, { name: "new" });
  equal([renamed.code, renamed.data.id, renamed.data.name], [0, id, "new"]);
});

await test("a conversation is deleted, once", async () => {
  const { id } = await make();
  const gone = await alice.delete(`/v1/conversations/${id}`);
  equal([gone.code, gone.msg, "data" in gone], [0, "", false]);
  equal(await code(alice.delete(`/v1/conversations/${id}`)), 4200);
  equal(await code(conversations.retrieve(id)), 4200);
  equal(await code(messages.list(id)), 4200);
  equal(await code(conversations.clear(id)), 4200);
});

await test("only the creator finds a conversation", async () => {
  const { id } = await make();
  equal(await code(bob.conversations.retrieve(id)), 4200);
  equal(await code(bob.conversations.messages.list(id)), 4200);
  equal(await code(bob.delete(`/v1/conversations/${id}`)), 4200);
  equal((await conversations.retrieve(id)).id, id);
});

await test("an unknown conversation is not found", async () => {
  equal(await code(conversations.retrieve(UNKNOWN)), 4200);
});

await test("without editConversation nothing is deleted", async () => {
  const { id } = await make();
  equal(await code(reader.delete(`/v1/conversations/${id}`)), 4101);
  equal((await reader.conversations.retrieve(id)).id, id);
});

await test("a wrong token is 401, with Coze's code", async () => {
  const error = await rejects(account("pat_wrong").conversations.retrieve(UNKNOWN));
  equal([error.status, error.code], [401, 700012006]);
});

await test("an account knows itself", async () => {
  const me = await alice.users.me();
  for (const key of ["user_id", "user_name", "nick_name", "avatar_url"]) {
    equal([key, typeof me[key]], [key, "string"]);
  }
});

const script = (answer) => `[[script: ${JSON.stringify(answer)}]]`;
const ask = (text, more = {}) => ({
  bot_id: COZE_BOT_ID,
  user_id: "somebody",
  additional_messages: [{ role: RoleType.User, type: "question", content: text, content_type: "text" }],
  ...more,
});

await test("a chat is streamed, event by event", async () => {
  const events = [];
  for await (const event of alice.chat.stream(ask(script({ pieces: ["one ", "two"] })))) events.push(event);
  equal(events.map((event) => event.event), [
    "conversation.chat.created", "conversation.chat.in_progress",
    "conversation.message.delta", "conversation.message.delta",
    "conversation.message.completed", "conversation.message.completed",
    "conversation.chat.completed", "done",
  ]);
  equal(events[4].data.content, "one two");
  equal(events[6].data.status, "completed");
});

await test("a chat is begun, polled and read, as the SDK does it", async () => {
  const { chat, messages: said } = await alice.chat.createAndPoll(ask(script({ pieces: ["yes"] })));
  equal(chat.status, "completed");
  equal(said.map((row) => [row.type, row.content]), [["answer", "yes"]]);
});

await test("a chat is canceled", async () => {
  const gate = `${RUN}-js`;
  const made = await alice.chat.create(ask(script({ steps: [{ gate }, { text: "never" }] })));
  equal((await alice.chat.cancel(made.conversation_id, made.id)).status, "canceled");
  equal((await alice.chat.retrieve(made.conversation_id, made.id)).status, "canceled");
  await fetch(`${MODEL_URL}/gates/${gate}`, { method: "POST" });
  equal(await code(bob.chat.retrieve(made.conversation_id, made.id)), 4200);
});

await test("what a chat has said is listed without its question", async () => {
  const { chat } = await alice.chat.createAndPoll(ask("hello"));
  const list = await alice.chat.messages.list(chat.conversation_id, chat.id);
  equal(list.map((row) => [row.role, row.type, row.content]), [["assistant", "answer", "You said: hello"]]);
});
