// Getting answers: which are being written, how each ends, and when conversations are saved.

import { ServerError, pieces } from "./api.js";
import { requestOf } from "./conversation.js";

const SAVED_EVERY = 2000; // ms, while an answer is written

const running = new Map(); // answer -> {conversation, abort}

/** Answers of this conversation that are being written. */
export const runningOf = (conversation) => [...running.values()].filter((one) => one.conversation === conversation);

export function stop(conversation) {
  for (const { abort } of runningOf(conversation)) abort.abort();
}

/** Fill one answer of turn `index` from the server. `grown(answer)` is called as it grows, `save` now and then.
 *
 * How it ended is in its `state` and `error`; this never throws. */
export async function fill(conversation, index, answer, { grown, save }) {
  const abort = new AbortController();
  running.set(answer, { conversation, abort });
  const began = performance.now();
  let first = 0;
  let saved = began;
  try {
    for await (const piece of pieces(requestOf(conversation, answer.model, index), abort.signal)) {
      if (piece.text) first ||= performance.now();
      answer.content += piece.text.replace(/\r/g, "");
      if (piece.finish) answer.state = piece.finish === "length" ? "length" : "done";
      if (piece.citations) answer.citations = piece.citations;
      if (piece.tokens) answer.tokens = piece.tokens;
      if (performance.now() - saved > SAVED_EVERY) {
        saved = performance.now();
        save(conversation);
      }
      if (answer.state === "writing") grown(answer);
    }
    if (answer.state === "writing") answer.state = "done";
  } catch (error) {
    settle(answer, error);
  }
  answer.seconds = (performance.now() - (first || began)) / 1000;
  running.delete(answer);
}

function settle(answer, error) {
  if (error.name === "AbortError") {
    answer.state = "stopped";
  } else if (error instanceof ServerError) {
    answer.state = error.kind === "lost" ? "lost" : "failed";
    answer.error = { kind: error.kind, status: error.status, words: error.words, wait: error.wait };
  } else {
    throw error;
  }
}
