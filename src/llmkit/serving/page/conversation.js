// What a conversation is, and its rows. Nothing here touches the page, the browser's storage or the network.
//
// conversation: {id, title, changed, system, sampling, models: one name or two, turns}
// turn:         {role: "user", content} or {role: "assistant", answers: one or two, chosen: number or null}
// answer:       {model, content, state, error, citations, label, tokens, seconds}
//   state: "writing", "done", "length" (cut off), "stopped" (by hand), "lost" (network), "interrupted" (page), "failed"

const TITLE = 60; // characters
export const SAMPLING = ["temperature", "top_p", "max_tokens", "seed"];

export function newConversation(models, { system = "", sampling = {} } = {}) {
  return {
    id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`,
    title: "",
    changed: Date.now(),
    system,
    sampling: { ...sampling },
    models: [...models],
    turns: [],
  };
}

export const newAnswer = (model) => ({ model, content: "", state: "writing", error: "", citations: [] });

/** The answer with which the conversation goes on; of two none until one is chosen or only one has come. */
export function goesOn(turn) {
  if (turn.chosen !== null && turn.chosen !== undefined) return turn.answers[turn.chosen];
  const came = turn.answers.filter((answer) => answer.content !== "" && answer.state !== "writing");
  return turn.answers.length === 1 || came.length === 1 ? came[0] : undefined;
}

/** Whether the last turn has two answers of which one is still to be chosen. */
export function isUndecided(conversation) {
  const last = conversation.turns.at(-1);
  if (last?.role !== "assistant" || last.answers.length < 2) return false;
  return (last.chosen ?? null) === null && last.answers.filter((answer) => answer.content !== "").length === 2;
}

/** Messages before the turn numbered `end`: an exchange that has no answer is not part of them. */
export function history(conversation, end = conversation.turns.length) {
  const messages = conversation.system.trim() ? [{ role: "system", content: conversation.system }] : [];
  for (let i = 0; i < end; i += 1) {
    const turn = conversation.turns[i];
    const next = conversation.turns[i + 1];
    if (turn.role === "user") {
      if (i + 1 >= end || (next?.role === "assistant" && goesOn(next)))
        messages.push({ role: "user", content: turn.content });
    } else if (goesOn(turn)) messages.push({ role: "assistant", content: goesOn(turn).content });
  }
  return messages;
}

/** The body of the request for an answer to turn `end - 1`. Settings that are empty are left to the server. */
export function requestOf(conversation, model, end) {
  const set = Object.entries(conversation.sampling).filter(
    ([name, value]) => SAMPLING.includes(name) && value !== null && value !== "",
  );
  return {
    model,
    messages: history(conversation, end),
    stream: true,
    stream_options: { include_usage: true },
    ...Object.fromEntries(set),
  };
}

/** A row of `messages` as finetune reads it, or null without a whole answer.
 *
 * What was cut off, stopped, lost or voted down stays for what follows it, with the weight 0: it is not learned. */
export function rowOf(conversation) {
  const messages = history(conversation);
  let at = conversation.system.trim() ? 1 : 0;
  for (const turn of conversation.turns) {
    const answer = turn.role === "assistant" && goesOn(turn);
    if (!answer) continue;
    at += 2;
    if (answer.state !== "done" || answer.label === false) messages[at - 1].weight = 0;
  }
  while (messages.length && messages.at(-1).role !== "assistant") messages.pop();
  if (!messages.some((message) => message.role === "assistant" && message.weight !== 0)) return null;
  return { messages, title: conversation.title };
}

/** A conversation of a row, or an Error's name of a word for why not. */
export function conversationOf(row, models) {
  const messages = row?.messages;
  const isText = (message) =>
    typeof message?.content === "string" && ["system", "user", "assistant"].includes(message.role);
  if (!Array.isArray(messages) || !messages.every(isText)) throw new Error("noMessages");
  const conversation = newConversation(models);
  for (const [i, { role, content, weight }] of messages.entries()) {
    const before = conversation.turns.at(-1)?.role ?? "assistant";
    if (role === "system" && i === 0) conversation.system = content;
    else if (role === "user" && before === "assistant") conversation.turns.push({ role, content });
    else if (role === "assistant" && before === "user") {
      const answer = { ...newAnswer(models[0] ?? ""), content, state: weight === 0 ? "stopped" : "done" };
      conversation.turns.push({ role, answers: [answer], chosen: null });
    } else throw new Error("noMessages");
  }
  if (!conversation.turns.length) throw new Error("noMessages");
  if (conversation.turns.at(-1).role === "user") conversation.turns.pop();
  conversation.title = typeof row.title === "string" && row.title ? row.title.slice(0, TITLE) : titleOf(conversation);
  return conversation;
}

/** The first words of the first message. */
export function titleOf(conversation) {
  const first =
    conversation.turns
      .find((turn) => turn.role === "user")
      ?.content.trim()
      .replace(/\s+/g, " ") ?? "";
  return first.length > TITLE ? `${[...first].slice(0, TITLE - 1).join("")}…` : first;
}

/** The row of a vote: which of two is better, or whether one is good. */
export function voteOf(conversation, index) {
  const turn = conversation.turns[index];
  const said = (answer) => [{ role: "assistant", content: answer.content }];
  const prompt = history(conversation, index);
  if (turn.answers.length === 2)
    return { prompt, chosen: said(turn.answers[turn.chosen]), rejected: said(turn.answers[1 - turn.chosen]) };
  return { prompt, completion: said(turn.answers[0]), label: turn.answers[0].label };
}
