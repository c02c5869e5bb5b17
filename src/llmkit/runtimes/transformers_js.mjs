// What runtimes/transformers_js.py asks, a line of JSON each, and a line of JSON in answer.
import { createRequire } from 'node:module';
import { basename, dirname } from 'node:path';
import { cwd } from 'node:process';
import { createInterface } from 'node:readline';

const require = createRequire(`${cwd()}/`); // NODE_PATH counts for `require` alone
const { AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, Tensor, env } = require('@huggingface/transformers');
const folder = process.argv[2];
env.allowRemoteModels = false;
env.localModelPath = dirname(folder);
const name = basename(folder);

const row = (ids) => new Tensor('int64', ids.map(BigInt), [1, ids.length]);
const tokenizer = await AutoTokenizer.from_pretrained(name);
let model = null;

async function load(twoSided) {
  const options = { session_options: { intraOpNumThreads: 1, logSeverityLevel: 3 } };
  model ??= await (twoSided ? AutoModelForSeq2SeqLM : AutoModelForCausalLM).from_pretrained(name, options);
  return model;
}

const actions = {
  version: () => env.version,
  read: ({ text }) => tokenizer(text, { return_tensor: false }).input_ids,
  render: ({ turns, prompt }) =>
    tokenizer.chat_template === null
      ? null
      : tokenizer.apply_chat_template(turns, { tokenize: false, add_generation_prompt: prompt }),
  async generate({ ids, budget, exact, twoSided }) {
    const loaded = await load(twoSided);
    // Greedy, whatever the generation config says, and no end is forced where the budget is used up, as BART's and
    // Marian's configs have it; `exact` takes no notice of ends.
    const plain = {
      do_sample: false, num_beams: 1, repetition_penalty: 1, no_repeat_ngram_size: 0, forced_eos_token_id: null,
    };
    const ends = exact ? { eos_token_id: null } : {};
    const found = await loaded.generate({
      inputs: row(ids), attention_mask: row(ids.map(() => 1)), max_new_tokens: budget, ...plain, ...ends,
    });
    const all = found.tolist()[0].map(Number);
    const written = all.slice(twoSided ? 1 : ids.length);
    return { ids: written, text: tokenizer.decode(written, { skip_special_tokens: true, clean_up_tokenization_spaces: false }) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { action, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = { found: await actions[action](given) };
  } catch (error) {
    answer = { error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
