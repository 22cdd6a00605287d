// npm `dify-client`, unmodified, and plain HTTP for what it does not send.

import { ChatClient } from "dify-client";
import { deletes } from "./deletes.mjs";
import { chat } from "./chat.mjs";
import { errors } from "./errors.mjs";
import { lists } from "./lists.mjs";

const { BASE_URL, DIFY_KEY, RUN } = process.env;

const url = `${BASE_URL}/v1`;
const client = new ChatClient(DIFY_KEY, url);

/** A user that nobody else has. */
const user = (name) => `${RUN}-${name}`;

/** Asks a question in a conversation, a new one if none is named. */
const ask = async (query, who, conversation = null) =>
  (await client.createChatMessage({}, query, who, false, conversation)).data;

const dify = { url, client, user, ask };
await chat(dify);
await lists(dify);
await deletes(dify);
await errors(dify);
