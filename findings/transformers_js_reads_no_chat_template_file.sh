#!/usr/bin/env bash
# transformers.js, `AutoTokenizer.from_pretrained` of a directory that transformers 5 has saved, with a chat template.
#
# Guess:  the template is read from where transformers writes it, `chat_template.jinja`.
# Real:   tokenizers look in tokenizer_config.json alone; the file is read by processors only. `apply_chat_template`
#         fails, as if the model had no template. `save_pretrained(..., save_jinja_files=False)` writes the old place.
# Seen:   @huggingface/transformers 4.3.2 (Node 20.20.2), transformers 5.24.0.
# Hurts:  whoever puts a chat model of today into a browser.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install -q --disable-pip-version-check transformers==5.24.0 jinja2==3.1.6
npm install --ignore-scripts --no-audit --no-fund --silent @huggingface/transformers@4.3.2
venv/bin/python -W ignore - <<'PYTHON'
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?")))
tokenizer.chat_template = "{{ messages[0]['content'] }}"
tokenizer.save_pretrained("today")
tokenizer.save_pretrained("before", save_jinja_files=False)
for name in ("today", "before"):
    again = PreTrainedTokenizerFast.from_pretrained(name)
    print(f"transformers, {name}:", repr(again.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)))
PYTHON
for name in today before; do echo '{"model_type": "llama"}' > $name/config.json; done
node - <<'NODE'
const { AutoTokenizer, env } = require('@huggingface/transformers');
env.allowRemoteModels = false;
env.localModelPath = process.cwd();
(async () => {
  const found = [];
  for (const name of ['today', 'before']) {
    const tokenizer = await AutoTokenizer.from_pretrained(name);
    try {
      found.push(tokenizer.apply_chat_template([{ role: 'user', content: 'a' }], { tokenize: false }));
    } catch (error) {
      found.push(error.message.slice(0, 60));
    }
    console.log(`transformers.js, ${name}: ${found.at(-1)}`);
  }
  if (found[0] === 'a') throw new Error('chat_template.jinja is read now');
  if (found[1] !== 'a') throw new Error('tokenizer_config.json is not read any more');
  console.log('as described: chat_template.jinja is not read');
})();
NODE
