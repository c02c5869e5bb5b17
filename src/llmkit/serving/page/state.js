// The state of the page, and how it is kept.

import { newConversation } from "./conversation.js";
import { byId } from "./elements.js";
import { notify } from "./panels.js";
import { MOST, choice, save } from "./store.js";
import { runningOf } from "./talk.js";
import { Turns } from "./turns.js";
import { t } from "./words.js";

export const state = {
  config: { models: [], votes: false, title: "llmkit" },
  all: [], // conversations that are kept, the latest first
  current: null, // the one that is shown; a new one is in `all` once something was said in it
  follows: true, // whether the page scrolls with an answer
  failure: null, // why the server did not say what it has
};

/** What a person can do with a turn or a chat; filled in by app.js. */
export const acts = {
  isLast: (turn) => state.current.turns.at(-1) === turn,
  isBusy: () => runningOf(state.current).length > 0,
  votes: () => state.config.votes,
};

export const turns = new Turns(byId("turns"), acts);

/** A new conversation, with the models and settings that were chosen last. */
export function fresh() {
  const { models } = state.config;
  const known = (choice("models") ?? []).filter((model) => models.includes(model));
  return newConversation(known.length ? known : models.slice(0, 1), {
    system: choice("system") ?? "",
    sampling: choice("sampling") ?? {},
  });
}

/** Save a conversation; where that fails, say why. */
export async function keep(conversation) {
  if (!state.all.includes(conversation)) return;
  try {
    await save(conversation);
  } catch (error) {
    const words = { QuotaExceededError: t("full"), TooMany: t("tooMany", { n: MOST }) };
    notify(words[error.name] ?? t("notSaved", { why: error.message }), { isError: true });
  }
}

export function byTime() {
  state.all.sort((one, other) => other.changed - one.changed);
}
