// Keys, modes, and paths that are not there.

import { equal, holds, send, test } from "../lib/results.mjs";

const { DIFY_KEY, DIFY_KEY_ALICE, DIFY_KEY_BOB, DIFY_KEY_COMPLETION } = process.env;
const AUTH = { authorization: `Bearer ${DIFY_KEY}` };
const UNKNOWN = "00000000-0000-7000-8000-000000000000";
const MODE = {
  code: "not_chat_app",
  message: "Please check if your app mode matches the right API route.",
  status: 400,
};

export async function errors({ url, user }) {
  const unauthorized = (answer, message) => {
    equal([answer.status, answer.json], [401, { code: "unauthorized", message, status: 401 }]);
    holds(answer.headers.get("www-authenticate")?.startsWith("Bearer"), "WWW-Authenticate");
  };

  await test("a wrong key is 401", async () => {
    const headers = { authorization: "Bearer app-wrong" };
    // Under /dify the path decides the dialect, at the root the form of the key.
    unauthorized(await send("GET", `${url}/messages`, { headers }), "Access token is invalid");
  });

  await test("a scheme other than bearer is 401", async () => {
    const headers = { authorization: `Basic ${DIFY_KEY}` };
    const answer = await send("GET", `${url}/messages`, { headers });
    unauthorized(answer, "Authorization scheme must be 'Bearer'");
  });

  await test("no key is 401", async () => {
    const said = "Authorization header must be provided and start with 'Bearer'";
    unauthorized(await send("GET", `${url}/messages`), said);
  });

  await test("an app of another mode holds no conversations", async () => {
    const headers = { authorization: `Bearer ${DIFY_KEY_COMPLETION}` };
    const body = { user: user("mode") };
    const chat = { ...body, inputs: {}, query: "x" };
    for (const answer of [
      await send("DELETE", `${url}/conversations/${UNKNOWN}`, { headers, body }),
      await send("DELETE", `${url}/conversations/${UNKNOWN}`, { headers }),
      await send("GET", `${url}/conversations?user=x`, { headers }),
      await send("GET", `${url}/messages?user=x&conversation_id=${UNKNOWN}`, { headers }),
      await send("POST", `${url}/conversations/${UNKNOWN}/name`, { headers, body: chat }),
      await send("POST", `${url}/chat-messages`, { headers, body: chat }),
    ]) {
      equal([answer.status, answer.json], [400, MODE]);
    }
  });

  await test("a key that is bound to a user refuses to speak for another", async () => {
    const headers = { authorization: `Bearer ${DIFY_KEY_ALICE}` };
    const body = { inputs: {}, query: "x", user: "somebody-else" };
    const answer = await send("POST", `${url}/chat-messages`, { headers, body });
    equal([answer.status, answer.json.code], [400, "invalid_param"]);
  });

  await test("a key that is bound to a user sees that user's conversations", async () => {
    const [alice, bob] = [DIFY_KEY_ALICE, DIFY_KEY_BOB].map((key) => ({
      authorization: `Bearer ${key}`,
    }));
    const who = process.env.RUN;
    const body = { inputs: {}, query: "x", user: `alice-${who}` };
    const made = await send("POST", `${url}/chat-messages`, { headers: alice, body });
    equal(made.status, 200);
    const path = `${url}/conversations/${made.json.conversation_id}`;
    equal((await send("DELETE", path, { headers: bob, body: {} })).status, 404);
    equal((await send("DELETE", path, { headers: alice, body: {} })).status, 204);
  });

  await test("a method that a path does not have is 405", async () => {
    const answer = await send("GET", `${url}/conversations/${UNKNOWN}`, { headers: AUTH });
    equal([answer.status, answer.json], [405, {
      code: "method_not_allowed",
      message: "The method is not allowed for the requested URL.",
      status: 405,
    }]);
  });

  await test("a path that does not exist is 404, in Dify's words", async () => {
    const answer = await send("GET", `${url}/nothing`, { headers: AUTH });
    equal([answer.status, answer.json.code, answer.json.status], [404, "not_found", 404]);
  });

  await test("every answer says which version it follows", async () => {
    const answer = await send("GET", `${url}/conversations?user=x`, { headers: AUTH });
    for (const name of ["x-version", "x-env"]) holds(answer.headers.get(name), name);
  });
}
