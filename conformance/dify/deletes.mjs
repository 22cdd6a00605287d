// The delete, in every way that clients send it.

import { equal, holds, rejects, send, test } from "../lib/results.mjs";

const { DIFY_KEY, DIFY_KEY_SECOND_APP } = process.env;
const AUTH = { authorization: `Bearer ${DIFY_KEY}` };
const NOT_FOUND = { code: "not_found", message: "Conversation Not Exists.", status: 404 };

export async function deletes({ url, client, user, ask }) {
  const remove = (id, more = {}) =>
    send("DELETE", `${url}/conversations/${id}`, { headers: AUTH, ...more });
  /** A conversation of nobody in particular. */
  const nobodys = async () => (await ask("x", "DEFAULT-USER")).conversation_id;

  await test("the SDK deletes a conversation", async () => {
    const who = user("delete-1");
    const { conversation_id } = await ask("gone soon", who);
    const answer = await client.deleteConversation(conversation_id, who);
    equal([answer.status, answer.data], [204, ""]);
  });

  await test("a delete with {user} is 204 without a body", async () => {
    const who = user("delete-2");
    const { conversation_id } = await ask("x", who);
    const answer = await remove(conversation_id, { body: { user: who } });
    equal([answer.status, answer.text], [204, ""]);
  });

  await test("a delete with {} deletes what nobody in particular has", async () => {
    const answer = await remove(await nobodys(), { body: {} });
    equal([answer.status, answer.text], [204, ""]);
  });

  await test("a delete needs no body", async () => {
    const answer = await remove(await nobodys());
    equal([answer.status, answer.text], [204, ""]);
  });

  await test("a body that is no object is refused, and nothing is deleted", async () => {
    const id = await nobodys();
    const headers = { ...AUTH, "content-type": "application/json" };
    for (const raw of ["null", "[]", "{"]) {
      const answer = await remove(id, { headers, raw });
      equal([raw, answer.status, answer.json.code], [raw, 400, "bad_request"]);
    }
    equal((await remove(id)).status, 204);
  });

  await test("a second delete finds nothing", async () => {
    const who = user("delete-3");
    const { conversation_id } = await ask("x", who);
    await client.deleteConversation(conversation_id, who);
    const error = await rejects(client.deleteConversation(conversation_id, who));
    equal([error.response.status, error.response.data], [404, NOT_FOUND]);
  });

  await test("nothing of a deleted conversation is found", async () => {
    const who = user("delete-4");
    const { conversation_id } = await ask("x", who);
    await client.deleteConversation(conversation_id, who);
    for (const call of [
      () => client.getConversationMessages(who, conversation_id),
      () => client.renameConversation(conversation_id, "n", who, false),
      () => ask("are you there?", who, conversation_id),
    ]) {
      equal((await rejects(call())).response.data, NOT_FOUND);
    }
    equal((await client.getConversations(who)).data.data, []);
  });

  await test("another user finds nothing", async () => {
    const [who, other] = [user("delete-5"), user("delete-6")];
    const { conversation_id } = await ask("mine", who);
    for (const call of [
      () => client.deleteConversation(conversation_id, other),
      () => client.getConversationMessages(other, conversation_id),
      () => client.renameConversation(conversation_id, "n", other, false),
      () => ask("hello?", other, conversation_id),
    ]) {
      equal((await rejects(call())).response.data, NOT_FOUND);
    }
    equal((await remove(conversation_id)).json, NOT_FOUND);
    equal((await client.getConversations(other)).data.data, []);
    equal((await client.getConversations(who)).data.data.length, 1);
  });

  await test("the key of another app finds nothing", async () => {
    const who = user("delete-7");
    const { conversation_id } = await ask("x", who);
    const headers = { authorization: `Bearer ${DIFY_KEY_SECOND_APP}` };
    const answer = await remove(conversation_id, { headers, body: { user: who } });
    equal([answer.status, answer.json], [404, NOT_FOUND]);
    equal((await remove(conversation_id, { body: { user: who } })).status, 204);
  });

  await test("an id in capitals is the same id, one that is no UUID is not found", async () => {
    const who = user("delete-8");
    const { conversation_id } = await ask("x", who);
    const none = await remove("not-a-uuid", { body: { user: who } });
    equal([none.status, none.json.code, none.json.status], [404, "not_found", 404]);
    equal((await remove(conversation_id.toUpperCase(), { body: { user: who } })).status, 204);
  });

  await test("?user= in the query is not the user", async () => {
    const who = user("delete-9");
    const { conversation_id } = await ask("x", who);
    const answer = await send("DELETE", `${url}/conversations/${conversation_id}?user=${who}`, {
      headers: AUTH,
    });
    equal(answer.status, 404);
    holds((await client.getConversations(who)).data.data.length === 1, "it is still there");
  });
}
