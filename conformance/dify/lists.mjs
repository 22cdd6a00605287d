// Lists of conversations and messages, page by page.

import { equal, holds, send, test } from "../lib/results.mjs";

const { DIFY_KEY } = process.env;
const AUTH = { authorization: `Bearer ${DIFY_KEY}` };
const UNKNOWN = "00000000-0000-7000-8000-000000000000";

export async function lists({ url, client, user, ask }) {
  const get = (path) => send("GET", `${url}${path}`, { headers: AUTH });

  await test("a user without conversations has an empty list", async () => {
    const { data } = await client.getConversations(user("list-none"));
    equal(data, { limit: 20, has_more: false, data: [] });
  });

  const who = user("list");
  const ids = [];
  for (const query of ["one", "two", "three", "four", "five"]) {
    ids.push((await ask(query, who)).conversation_id);
  }
  const page = async (query) => (await get(`/conversations?user=${who}&${query}`)).json;
  const rows = (list) => list.data.map((row) => row.id);

  await test("conversations are listed, the last changed first", async () => {
    equal(rows((await client.getConversations(who)).data), [...ids].reverse());
    await ask("again", who, ids[1]);
    equal(rows(await page(""))[0], ids[1]);
  });

  await test("conversations are listed by creation when asked", async () => {
    equal(rows(await page("sort_by=created_at")), ids);
    equal(rows(await page("sort_by=-created_at")), [...ids].reverse());
  });

  await test("a conversation in a list has all its fields", async () => {
    const row = (await page("sort_by=created_at")).data[0];
    equal(Object.keys(row).sort(), [
      "created_at", "id", "inputs", "introduction", "name", "status", "updated_at",
    ]);
    equal([row.status, row.name.length > 0], ["normal", true]);
  });

  await test("conversations are paged without a gap or a double", async () => {
    const seen = [];
    let last = "";
    for (let more = true; more;) {
      const list = await page(`sort_by=created_at&limit=2&last_id=${last}`);
      seen.push(...rows(list));
      more = list.has_more;
      last = list.data.at(-1)?.id;
      equal(list.limit, 2);
    }
    equal(seen, ids);
  });

  await test("an exactly full page of conversations is the last one", async () => {
    equal((await page("limit=5")).has_more, false);
    equal((await page("limit=4")).has_more, true);
  });

  await test("a last_id that nobody knows is not found", async () => {
    const answer = await get(`/conversations?user=${who}&last_id=${UNKNOWN}`);
    equal(answer.json, {
      code: "not_found", message: "Last Conversation Not Exists.", status: 404,
    });
  });

  await test("a limit of 0 or of 101 is refused", async () => {
    for (const limit of [0, 101]) {
      const answer = await get(`/conversations?user=${who}&limit=${limit}`);
      equal([answer.status, answer.json.code], [400, "invalid_param"]);
    }
    equal((await page("limit=100")).limit, 100);
  });

  await test("what the SDK sends and the server does not know is ignored", async () => {
    const { data } = await client.getConversations(who, UNKNOWN, 3, true);
    equal([data.limit, data.data.length], [3, 3]);
  });

  await messages({ client, user, ask, get });
}

async function messages({ client, user, ask, get }) {
  const who = user("messages");
  const answers = [await ask("question 0", who)];
  const { conversation_id: id } = answers[0];
  for (const number of [1, 2, 3, 4]) answers.push(await ask(`question ${number}`, who, id));
  const page = async (query) =>
    (await get(`/messages?user=${who}&conversation_id=${id}&${query}`)).json;
  const queries = (list) => list.data.map((message) => message.query);

  await test("messages are listed oldest first", async () => {
    const { data } = await client.getConversationMessages(who, id);
    equal([data.limit, data.has_more], [20, false]);
    equal(queries(data), ["question 0", "question 1", "question 2", "question 3", "question 4"]);
    equal(data.data.map((message) => message.id), answers.map((answer) => answer.id));
  });

  await test("a message has all the documented fields", async () => {
    const message = (await page("limit=1")).data[0];
    const documented = [
      "id", "conversation_id", "parent_message_id", "inputs", "query", "answer", "status", "error",
      "message_files", "feedback", "retriever_resources", "agent_thoughts", "created_at",
      "extra_contents",
    ];
    for (const key of documented) holds(key in message, key);
    equal([message.conversation_id, message.status], [id, "normal"]);
  });

  await test("the first page of messages holds the newest", async () => {
    const first = await page("limit=2");
    equal([queries(first), first.has_more], [["question 3", "question 4"], true]);
    const second = await page(`limit=2&first_id=${first.data[0].id}`);
    equal([queries(second), second.has_more], [["question 1", "question 2"], true]);
    const third = await page(`limit=2&first_id=${second.data[0].id}`);
    equal([queries(third), third.has_more], [["question 0"], false]);
  });

  await test("an exactly full page of messages is the last one", async () => {
    equal((await page("limit=5")).has_more, false);
  });

  await test("a first_id that nobody knows is not found", async () => {
    const answer = await get(`/messages?user=${who}&conversation_id=${id}&first_id=${UNKNOWN}`);
    equal(answer.json, { code: "not_found", message: "First Message Not Exists.", status: 404 });
  });

  await test("messages of no conversation are refused, of an empty one none", async () => {
    const none = await get(`/messages?user=${who}`);
    equal([none.status, none.json.code], [400, "invalid_param"]);
    const empty = await get(`/messages?user=${who}&conversation_id=`);
    equal(empty.json, { limit: 20, has_more: false, data: [] });
  });

  await test("messages of an unknown conversation are not found", async () => {
    const answer = await get(`/messages?user=${who}&conversation_id=${UNKNOWN}`);
    equal([answer.status, answer.json.message], [404, "Conversation Not Exists."]);
  });
}
