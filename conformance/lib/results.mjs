// One line of JSON for each test; what a failure was about goes into the line as well.

/** Runs the function and waits for it. It passes if it throws nothing. */
export async function test(sentence, run) {
  let line = { test: sentence, ok: true };
  try {
    await run();
  } catch (error) {
    line = { test: sentence, ok: false, why: String(error?.message ?? error).slice(0, 400) };
  }
  console.log(JSON.stringify(line));
}

/** Fails unless both are the same JSON. */
export function equal(got, wanted) {
  const [left, right] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (left !== right) throw new Error(`got ${left}, wanted ${right}`);
}

/** Fails unless the condition holds. */
export function holds(condition, what = "it does not hold") {
  if (!condition) throw new Error(what);
}

/** The error that the promise rejects with. */
export async function rejects(promise) {
  let answer;
  try {
    answer = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`no error, but ${JSON.stringify(answer)}`);
}

/** Plain HTTP, for what a vendor's SDK does not send. */
export async function send(method, url, { body, headers = {}, raw } = {}) {
  if (body !== undefined) {
    raw = JSON.stringify(body);
    headers = { "content-type": "application/json", ...headers };
  }
  const response = await fetch(url, { method, headers, body: raw });
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}
