// The server: its answers as they come, its errors in its own words, and the key it may ask for.

const KEY = "llmkit.key";

/** What the server said, or that it could not be reached ("unreachable") or went away in mid-answer ("lost"). */
export class ServerError extends Error {
  constructor(kind, { status = 0, words = "", wait = 0 } = {}) {
    super(words || kind);
    Object.assign(this, { kind, status, words, wait });
  }
}

let askKey = async () => null;
let asking = null;

/** `ask(isWrong)` is called for a key where the server wants one; it gives null where a person has none. */
export function setAskKey(ask) {
  askKey = ask;
}

async function newKey(old) {
  if ((sessionStorage.getItem(KEY) ?? "") !== old) return true; // Another request has asked meanwhile.
  asking ??= askKey(old !== "").finally(() => (asking = null));
  const key = await asking;
  if (key) sessionStorage.setItem(KEY, key);
  return Boolean(key);
}

/** The answer to a request; addresses are relative to the page's, so that it works below a path of a proxy. */
async function request(path, body, signal) {
  for (;;) {
    const key = sessionStorage.getItem(KEY) ?? "";
    const headers = {
      ...(body ? { "Content-Type": "application/json" } : {}),
      ...(key ? { Authorization: `Bearer ${key}` } : {}),
    };
    let response;
    try {
      response = await fetch(path, {
        method: body ? "POST" : "GET",
        headers,
        body: body && JSON.stringify(body),
        signal,
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError("unreachable");
    }
    if (response.ok) return response;
    if (response.status !== 401 || !(await newKey(key))) throw await refusal(response);
  }
}

async function refusal(response) {
  const text = await response.text().catch(() => "");
  return new ServerError("refused", {
    status: response.status,
    words: wordsOf(text) || response.statusText,
    wait: Number(response.headers.get("Retry-After")) || 0,
  });
}

/** The message in an error's body: of OpenAI's form, FastAPI's, or a plain one of a proxy. */
function wordsOf(text) {
  try {
    const { error, detail, message } = JSON.parse(text);
    const words = error?.message ?? error ?? detail ?? message;
    return typeof words === "string" ? words : JSON.stringify(words);
  } catch {
    return text.startsWith("<") ? "" : text.slice(0, 500);
  }
}

export async function getConfig() {
  return (await request("page/config")).json();
}

export async function postVote(row) {
  await request("page/votes", row);
}

/** The `data` of server-sent events. */
async function* events(response) {
  // Not through a TextDecoderStream: a pipe that breaks drops what has arrived and was not read yet.
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let data = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      else if (line === "" && data.length) {
        yield data.join("\n");
        data = [];
      }
    }
  }
}

/** Pieces of an answer: {text, finish, citations, tokens}, each with what there is of it. */
export async function* pieces(body, signal) {
  const response = await request("v1/chat/completions", body, signal);
  let ended = false;
  try {
    for await (const data of events(response)) {
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new ServerError("refused", { status: event.error.code ?? 500, words: wordsOf(data) });
      const choice = event.choices?.[0];
      ended ||= Boolean(choice?.finish_reason);
      yield {
        text: choice?.delta?.content ?? "",
        finish: choice?.finish_reason,
        citations: event.citations,
        tokens: event.usage?.completion_tokens,
      };
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ServerError) throw error;
    throw new ServerError("lost");
  }
  if (!ended) throw new ServerError("lost");
}
