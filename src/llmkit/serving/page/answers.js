// What becomes of a message: answers by one model or two, retried, edited, chosen, voted on.

import { postVote } from "./api.js";
import { isUndecided, newAnswer, titleOf, voteOf } from "./conversation.js";
import { byId } from "./elements.js";
import { clearNotices, notify } from "./panels.js";
import { growField, refresh, toEnd } from "./shown.js";
import { acts, byTime, keep, state, turns } from "./state.js";
import { fill, stop } from "./talk.js";
import { announce, sayError } from "./turns.js";
import { t } from "./words.js";

export async function send(text) {
  const conversation = state.current;
  if (!text.trim() || acts.isBusy() || !conversation.models.length) return;
  if (isUndecided(conversation)) {
    notify(t("chooseFirst"));
    return;
  }
  clearNotices();
  byId("message").value = "";
  growField();
  conversation.turns.push({ role: "user", content: text });
  if (!state.all.includes(conversation)) state.all.unshift(conversation);
  conversation.title ||= titleOf(conversation);
  await answer(conversation);
}

/** Have the last message answered, by one model or by two. */
async function answer(conversation) {
  const answers = conversation.models.map(newAnswer);
  const index = conversation.turns.push({ role: "assistant", answers, chosen: null }) - 1;
  if (conversation === state.current) turns.showFrom(index - 1);
  await write(conversation, index, answers);
}

async function write(conversation, index, answers) {
  conversation.changed = Date.now();
  byTime();
  state.follows = true;
  const written = answers.map((one) =>
    fill(conversation, index, one, { grown, save: keep }).then(() => ended(conversation, one)),
  );
  announce(t("writing", { model: answers.map(({ model }) => model).join(", ") }));
  refresh();
  toEnd();
  await keep(conversation);
  await Promise.all(written);
}

function grown(one) {
  turns.view(one)?.grow(() => state.follows && toEnd());
}

async function ended(conversation, one) {
  if (conversation === state.current) {
    turns.view(one)?.paint();
    for (const view of turns.views.values()) if (view.turn.answers.includes(one)) view.paintFoot();
    announce(
      one.error
        ? t("answerFailed", { why: sayError(one.error) })
        : t("written", { model: one.model, text: one.content.slice(0, 400) }),
    );
    if (state.follows) toEnd();
  }
  await keep(conversation);
  refresh();
}

/** Do something to the turns that can be taken back until the next time. */
async function change(text, work) {
  const conversation = state.current;
  const { title } = conversation;
  const before = structuredClone(conversation.turns);
  const undo = async () => {
    stop(conversation);
    Object.assign(conversation, { title, turns: before });
    if (conversation === state.current) turns.show(conversation);
    await keep(conversation);
    refresh();
  };
  const worked = work(conversation);
  if (text) notify(text, { undo });
  await worked;
}

export async function retry(index, slot) {
  byId("message").focus();
  const { content } = state.current.turns[index].answers[slot];
  await change(content && t("retried"), (conversation) => {
    const turn = conversation.turns[index];
    const one = newAnswer(conversation.models[slot] ?? turn.answers[slot].model);
    turn.answers[slot] = one;
    turn.chosen = null;
    turns.showFrom(index);
    return write(conversation, index, [one]);
  });
}

export async function edit(index, text) {
  byId("message").focus();
  await change(t("edited"), (conversation) => {
    conversation.turns.splice(index, Infinity, { role: "user", content: text });
    if (index === 0) conversation.title = titleOf(conversation);
    turns.showFrom(index);
    return answer(conversation);
  });
}

export async function vote(index, label) {
  const [one] = state.current.turns[index].answers;
  one.label = label;
  await castVote(state.current, index, () => delete one.label);
}

/** Go on with one of two answers; where the server keeps votes, it is one. */
export async function pick(index, chosen) {
  state.current.turns[index].chosen = chosen;
  byId("message").focus();
  if (state.config.votes) await castVote(state.current, index, () => {});
  else await settled(state.current);
}

async function castVote(conversation, index, takeBack) {
  try {
    await postVote(voteOf(conversation, index));
    notify(t("thanks"));
  } catch (error) {
    takeBack();
    notify(t("voteFailed", { why: sayError(error) }), { isError: true });
  }
  await settled(conversation);
}

async function settled(conversation) {
  if (conversation === state.current) for (const view of turns.views.values()) view.paintFoot();
  await keep(conversation);
  refresh();
}
