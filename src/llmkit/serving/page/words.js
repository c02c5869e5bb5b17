// The words of the page, in English and Chinese.

const ENGLISH = {
  newChat: "New chat", chats: "Chats", conversation: "Conversation", noChats: "Chats you have appear here.", openChats: "Show chats", closeChats: "Hide chats",
  deleteChat: "Delete “{title}”", deleted: "“{title}” was deleted.", undo: "Undo", dismiss: "Dismiss", untitled: "New chat",
  exportAll: "Export", importFile: "Import", exportHint: "All chats, as rows that llmkit finetune reads",
  exportThis: "Export this chat", importHint: "Chats from a .jsonl file",
  nothingToExport: "There is no finished answer to export yet.",
  exported: "{rows} of {all} chats written to {file}.", imported: "{n} chats imported.", importFailed: "Line {line}: {why}", more: "and {n} more",
  language: "Language", theme: "Theme: {name}", system: "as the system", light: "light", dark: "dark",
  model: "Model", modelLeft: "Left model", modelRight: "Right model", sideBySide: "Side by side", settings: "Settings",
  skip: "Skip to the message field", message: "Message", messageTo: "Message {model}", send: "Send", stop: "Stop",
  hint: "Enter sends, Shift + Enter begins a new line", attention: "Answers can be wrong: check what matters.",
  emptyTitle: "What would you like to ask?", emptyText: "Your chats stay in this browser until you export them.",
  emptyPair: "One question, two answers: choose the better one, and the chat goes on with it.",
  try1: "Explain in three sentences what a tokenizer does.", try2: "Write a Python function that reverses a linked list.", try3: "Give me a table of four sorting algorithms and their complexity.",
  you: "You", edit: "Edit", save: "Send again", cancel: "Cancel", editing: "Edit your message",
  retry: "Retry", copy: "Copy", copied: "Copied", notCopied: "Not copied", code: "Code", codeIn: "Code in {name}", table: "Table", formula: "Formula", image: "Image",
  done: "Done", open: "Open", good: "Good answer", bad: "Bad answer", better: "This one is better", chosen: "Chosen",
  source: "Source {n}", sources: "Sources", tokens: "{n} tokens", oneToken: "1 token", perSecond: "{n} tokens/s",
  writing: "{model} is writing …", written: "{model} wrote: {text}", stopped: "Stopped.", cutOff: "Cut off at the largest number of tokens.",
  interrupted: "Interrupted: the page was closed while this was written.", answerFailed: "No answer: {why}",
  lost: "The connection was lost in the middle of the answer; what had arrived is kept.", unreachable: "The server cannot be reached.",
  refused: "The server answered {status}: {words}", wait: "Try again in {n} s.", notPart: "Not part of the chat: it has no answer.",
  chooseFirst: "Choose the better answer first; the chat goes on with it.", chooseTo: "Choose one of the two to go on.",
  edited: "What came after your message was replaced.", retried: "The answer was replaced.", latest: "Go to the end",
  systemPrompt: "System prompt", systemHint: "What the model is told before the chat begins.", temperature: "Temperature", topP: "Top p",
  maxTokens: "Most tokens of an answer", seed: "Seed", byServer: "server’s", settingsHint: "For this chat and new ones. Empty: as the server has it.",
  close: "Close", reset: "Reset", keyTitle: "This server asks for an API key", keyText: "It is kept until this tab is closed.", keyWrong: "The server did not take this key.",
  key: "API key", use: "Continue", full: "The browser’s storage is full, so this chat is not saved. Export it, or delete others.",
  tooMany: "{n} chats are kept in this browser; this one is not saved until others are deleted.", notKept: "This browser keeps nothing for this page: chats are lost when it is closed.",
  notSaved: "This chat could not be saved: {why}", noConfig: "The server did not say which models it has: {why}", noModels: "This server has no model to chat with.", thanks: "Your vote was recorded.",
  voteFailed: "The vote was not recorded: {why}", answer: "Answer", notJson: "not JSON", noMessages: "no messages of user and assistant",
};

const CHINESE = {
  newChat: "新对话", chats: "对话列表", conversation: "对话", noChats: "您的对话会显示在这里。", openChats: "显示对话列表", closeChats: "隐藏对话列表",
  deleteChat: "删除“{title}”", deleted: "已删除“{title}”。", undo: "撤销", dismiss: "关闭提示", untitled: "新对话",
  exportAll: "导出", importFile: "导入", exportHint: "将全部对话导出为 llmkit finetune 可读取的数据", exportThis: "导出此对话", importHint: "从 .jsonl 文件导入对话",
  nothingToExport: "还没有可以导出的完整回答。", exported: "已将 {all} 个对话中的 {rows} 个写入 {file}。", imported: "已导入 {n} 个对话。", importFailed: "第 {line} 行：{why}", more: "另有 {n} 行",
  language: "语言", theme: "主题：{name}", system: "跟随系统", light: "浅色", dark: "深色",
  model: "模型", modelLeft: "左侧模型", modelRight: "右侧模型", sideBySide: "并排比较", settings: "设置",
  skip: "跳到输入框", message: "消息", messageTo: "给 {model} 发消息", send: "发送", stop: "停止",
  hint: "按 Enter 发送，Shift + Enter 换行", attention: "回答可能有误，重要内容请核实。",
  emptyTitle: "想问点什么？", emptyText: "对话只保存在此浏览器中，可随时导出。", emptyPair: "一个问题，两个回答：选出更好的一个，对话将以它继续。",
  try1: "用三句话解释什么是分词器。", try2: "写一个反转链表的 Python 函数。", try3: "用表格列出四种排序算法及其复杂度。",
  you: "您", edit: "编辑", save: "重新发送", cancel: "取消", editing: "编辑消息",
  retry: "重试", copy: "复制", copied: "已复制", notCopied: "复制失败", code: "代码", codeIn: "{name} 代码", table: "表格", formula: "公式", image: "图片",
  done: "已完成", open: "未完成", good: "回答得好", bad: "回答得不好", better: "这个更好", chosen: "已选择",
  source: "来源 {n}", sources: "来源", tokens: "{n} 个词元", oneToken: "1 个词元", perSecond: "每秒 {n} 个词元",
  writing: "{model} 正在回答……", written: "{model} 的回答：{text}", stopped: "已停止。", cutOff: "已达到词元数上限，回答被截断。",
  interrupted: "已中断：回答过程中页面被关闭。", answerFailed: "没有回答：{why}",
  lost: "回答过程中连接断开；已收到的内容已保留。", unreachable: "无法连接服务器。",
  refused: "服务器返回 {status}：{words}", wait: "请在 {n} 秒后重试。", notPart: "没有回答，不计入对话。",
  chooseFirst: "请先选出更好的回答，对话将以它继续。", chooseTo: "请选择其中一个回答以继续。",
  edited: "此消息之后的内容已被替换。", retried: "回答已被替换。", latest: "回到底部",
  systemPrompt: "系统提示词", systemHint: "对话开始之前告诉模型的内容。", temperature: "温度", topP: "Top p",
  maxTokens: "回答的最大词元数", seed: "随机种子", byServer: "服务器默认", settingsHint: "用于此对话和之后的新对话。留空则使用服务器的默认值。",
  close: "关闭", reset: "重置", keyTitle: "此服务器需要 API 密钥", keyText: "密钥只保留到此标签页关闭为止。", keyWrong: "服务器不接受此密钥。",
  key: "API 密钥", use: "继续", full: "浏览器存储空间已满，此对话未保存。请导出它，或删除其他对话。",
  tooMany: "此浏览器已保存 {n} 个对话；删除其他对话之前，此对话不会被保存。", notKept: "此浏览器不为本页保存数据：关闭页面后对话会丢失。",
  notSaved: "此对话未能保存：{why}", noConfig: "服务器没有说明有哪些模型：{why}", noModels: "此服务器没有可以对话的模型。", thanks: "您的评价已记录。",
  voteFailed: "评价未能记录：{why}", answer: "回答", notJson: "不是 JSON", noMessages: "没有用户和助手的消息",
};

const LANGUAGES = { en: ENGLISH, zh: CHINESE };
let language = "en";

/** The word of this name in the language of the page, with what stands in its braces. */
export function t(name, values = {}) {
  const text = LANGUAGES[language][name];
  if (text === undefined) throw new Error(`no word ${name} in ${language}`);
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

/** The language that was chosen, or else the browser's first one that the page has. */
export function pickLanguage(chosen) {
  const wanted = [chosen, ...navigator.languages].map((tag) => tag?.slice(0, 2).toLowerCase());
  language = wanted.find((tag) => Object.hasOwn(LANGUAGES, tag ?? "")) ?? "en";
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  return language;
}

/** Say in this language what `data-t`, `data-t-label`, `data-t-title` and `data-t-placeholder` ask for below `root`. */
export function fillWords(root = document) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const attribute of ["aria-label", "title", "placeholder"]) {
    const name = `data-t-${attribute.replace("aria-", "")}`;
    for (const node of root.querySelectorAll(`[${name}]`)) node.setAttribute(attribute, t(node.getAttribute(name)));
  }
}

export const WORDS = LANGUAGES;
