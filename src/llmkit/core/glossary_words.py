"""What users of other tools type, and what it is called here, for commands, fields and parts: words of `glossary.py`.

They are those of the transformers Trainer, TRL, axolotl, LLaMA-Factory, torchtune, unsloth, nanoGPT and nanochat,
Megatron-LM, lm-evaluation-harness, datatrove and llama.cpp. A test holds every name on the right against what is there,
and that what is said not to be there is not.
"""

from __future__ import annotations

_LORA = "--lora, or adapter: lora in a recipe, with any objective"
_QUANTIZED = "4bit or 8bit, of adapter: lora"
_PREFERENCES = "training on preferences and rewards is not there yet; sft learns the preferred answers"
_UPLOAD = "nothing is uploaded unasked; `llmkit push DIR --to OWNER/NAME` takes a finished artifact"
_ROWS = "in tokens, not rows: rows times their length"
_TOKENS = "in tokens; what does not fit into a pass is accumulated, with the same result"
_BENCHMARKS = "lm-eval asks it: {type: harness, task: NAME}, or --harness NAME; with the extra `harness`"
_GGUF = "with exporter.dtype=q8_0, q4_k or another number format; --model FILE.gguf reads one"
_REPLACE = "a finished output of another config is replaced only where that is said outright"
_FUSED = "attention is chosen by itself: sdpa where the architecture has it"

COMMANDS = (
    ("train", "pretrain finetune", "from scratch or on text, and further on labelled rows"),
    ("pre-training continue-pretrain", "pretrain", ""),
    ("sft tune instruct", "finetune", ""),
    ("dpo grpo ppo rlhf orpo kto reward", "", _PREFERENCES),
    ("lora qlora peft adapter", "finetune", _LORA),
    ("merge merge-lora merge_and_unload", "export", "of an adapter it writes the merged model"),
    ("evaluate evaluation test benchmark lm-eval score measure", "eval", ""),
    ("convert save gguf", "export", ""),
    ("quantize", "export", "--format quantized or gguf"),
    ("upload publish", "push", ""),
    ("prep preprocess prepare data", "clean tokenize", "raw text to a corpus, and a corpus to tokens"),
    ("process filter dedup deduplicate curate download", "clean", ""),
    ("encode tokenizer train-tokenizer bpe", "tokenize", ""),
    ("info show stats inspect describe report", "summary", ""),
    ("env version", "doctor", ""),
    ("lint check validate sanity-check precheck", "preflight", "it checks a chain of recipes before its first stage"),
    ("classify label tag ner embed embeddings encode-texts pipeline batch-predict", "predict", ""),
    ("infer inference", "predict generate", "labels, tags, spans and vectors, and texts"),
    ("server api", "serve", ""),
    ("run talk repl conversation", "chat", ""),
    ("sample complete completion write-texts distill batch-generate", "generate", ""),
    ("rag retrieve retrieval query documents", "index search", "passages are indexed once, and searched"),
    ("new create project quickstart", "init", ""),
    ("config configs template templates list ls", "recipes", ""),
    ("estimate memory cost flops", "plan", ""),
    ("history provenance tree verify", "lineage", ""),
    ("fields", "schema", ""),
    ("clean-up prune gc garbage-collect vacuum purge", "tidy", "it lists what runs left behind"),
)
"""Words typed elsewhere, commands here, what is different."""

TERMS = (
    # The run
    ("output_dir out out_dir output_path save_dir outfile dest", "--output", ""),
    ("config config_file cfg yaml", "--recipe", ""),
    ("override overrides param arg", "--set", ""),
    ("overwrite overwrite_output_dir yes clobber", "", _REPLACE),
    ("resume_from_checkpoint resume_from auto_resume", "--resume", ""),
    ("num_gpus gpus ngpu nproc_per_node num_processes n_gpus world_size devices", "--nproc", ""),
    ("num_workers num_proc preprocessing_num_workers dataset_num_proc threads tasks_per_node", "--workers workers", ""),
    ("random_seed manual_seed data_seed", "--seed seed", ""),
    ("report_to wandb wandb_project tracker log_with", "trackers", "a list, such as [tensorboard]"),
    ("push_to_hub hub_model_id", "", _UPLOAD),
    ("device cuda accelerator", "", "what computes is found by itself; CUDA_VISIBLE_DEVICES narrows it"),
    ("trust_remote_code", "", "code that comes with a model is never run"),
    # Data and model
    ("model_name_or_path model_name base_model model_path pretrained pretrained_model model_id checkpoint_dir",
     "--model", ""),
    ("model_args", "--model", "a directory"),
    ("base_url api_base api_url endpoint", "--model", "eval takes the address of a server in the place of a directory"),
    ("dataset datasets dataset_name dataset_path train_file train_data data_path dataset_dir train_dataset",
     "--data --input", ""),
    ("source files input_file raw corpus", "--input --data", ""),
    ("tokenizer_name tokenizer_path tokenizer_name_or_path", "--tokenizer", ""),
    ("text_column dataset_text_field text_key column_name content_key", "--text-field", ""),
    ("vocabsize n_vocab", "--vocab-size", ""),
    ("val_set_size val_size test_size validation_split_percentage val_fraction eval_split_ratio",
     "validation_fraction", "a share, such as 0.02"),
    ("init_weights finetune_from load_from", "--init-from --model", ""),
    ("max_length max_seq_length max_seq_len seq_len sequence_len seq_length sequence_length block_size cutoff_len"
     " ctx_size n_ctx max_position_embeddings model_max_length", "context_length", ""),
    ("sample_packing pack", "packing", "of documents; chats are always packed, apart from each other"),
    ("hidden_size n_embd d_model n_layer num_layers num_hidden_layers n_head num_attention_heads depth",
     "model.config", "with the field names of transformers' config class"),
    ("dropout", "model.config", "with the field names of transformers' config class"),
    ("model_type architecture", "model.arch tokenizer.type", ""),
    # Optimization
    ("learning_rate lr base_lr peak_lr max_lr matrix_lr learning-rate", "optimizer.lr", ""),
    ("min_lr end_lr final_lr_frac", "schedule.min_lr_ratio", "a share of the peak"),
    ("weight_decay wd", "optimizer.weight_decay", ""),
    ("max_grad_norm grad_clip gradient_clipping clip_grad gradient_clip_val", "optimizer.max_grad_norm", ""),
    ("adam_beta1 adam_beta2 beta1 beta2", "optimizer.betas", "both, such as [0.9, 0.95]"),
    ("adam_epsilon epsilon", "optimizer.eps", ""),
    ("optim optimizer_type optimizer_name", "optimizer.type optimizer", ""),
    ("momentum", "optimizer.momentum", "of sgd and muon"),
    ("lr_scheduler_type lr_scheduler scheduler lr_schedule lr_decay_style", "schedule.type", ""),
    ("warmup warmup_iters lr_warmup_iters num_warmup_steps lr_warmup_steps warmup_steps", "schedule.warmup_steps", ""),
    ("warmup_ratio warmup_fraction", "schedule.warmup_steps", "in steps, not a share of the run"),
    ("num_train_epochs epochs num_epochs n_epochs epoch train_epochs", "max_epochs", ""),
    ("steps iters max_iters train_iters num_iterations num_steps total_steps train_steps max_train_steps",
     "--max-steps max_steps", ""),
    ("max_time time_limit", "max_minutes", "in minutes"),
    ("early_stopping_patience early_stopping", "patience", "in validations"),
    ("batch_size train_batch_size per_device_train_batch_size global_batch_size total_batch_size", "batch_tokens",
     _ROWS),
    ("micro_batch_size device_batch_size per_device_batch_size per_device_eval_batch_size", "micro_batch_tokens",
     _ROWS),
    ("gradient_accumulation_steps grad_accum accumulate_grad_batches gradient_accumulation", "micro_batch_tokens",
     _TOKENS),
    ("group_by_length", "", "rows are packed"),
    ("train_on_inputs train_on_input train_on_responses_only train_on_prompt assistant_only_loss completion_only_loss"
     " roles_to_train mask_history train_on_last_turn_only", "objective.train_on", "assistant, last or all"),
    # Precision and devices
    ("bf16 bfloat16", "precision=bf16", ""),
    ("fp32 no_bf16", "precision=float32", ""),
    ("fp16 tf32 mixed_precision", "precision", "auto, bf16 or float32"),
    ("torch_dtype", "precision exporter.dtype", ""),
    ("outtype output_dtype dtype", "exporter.dtype precision", ""),
    ("torch_compile use_compile jit", "compile=true", ""),
    ("gradient_checkpointing activation_checkpointing use_gradient_checkpointing recompute",
     "parallel.activation_checkpointing=true", ""),
    ("fsdp deepspeed zero zero_stage", "parallel.shard", "the processes that share one copy of the weights"),
    ("tensor_parallel_size tensor_model_parallel_size tp", "parallel.tensor", ""),
    ("context_parallel_size cp", "parallel.context", ""),
    ("cpu_offload offload", "parallel.cpu_offload=true", ""),
    ("flash_attention flash_attn use_flash_attn attn_implementation", "", _FUSED),
    ("use_lora use_peft peft finetuning_type peft_type", "--lora adapter", "lora is one of its kinds"),
    ("lora_r lora_rank rank", "adapter.r", ""),
    ("lora_alpha", "adapter.alpha", ""),
    ("lora_dropout", "adapter.dropout", ""),
    ("lora_target_modules target_modules lora_target", "adapter.targets", ""),
    ("use_rslora", "adapter.rslora=true", ""),
    ("use_dora", "adapter.dora=true", ""),
    ("freeze_trainable_layers num_layers_to_train unfrozen_layers", "adapter.last", "of adapter: layers"),
    ("merge_lora merge_adapter", "merge", "or export, which writes the merged model of an adapter's directory"),
    ("num_virtual_tokens prompt_length prefix_length", "adapter.tokens", "of adapter: prompt or prefix"),
    ("layerwise_lr_decay layer_wise_lr_decay llrd lr_decay_rate", "optimizer.layer_decay", ""),
    ("load_in_4bit load_in_8bit quantization quantize bits quantization_config qlora", "adapter.quantize", _QUANTIZED),
    ("dpo pref_beta beta reward_model rl", "", _PREFERENCES),
    # When
    ("save_steps save_interval save_every checkpoint_every ckpt_interval", "checkpoint.every", "in steps"),
    ("save_total_limit keep_last max_checkpoints", "checkpoint.keep", ""),
    ("eval_steps eval_interval eval_every val_check_interval valid_every", "validate.every", "in steps"),
    ("logging_steps log_interval log_every_n_steps log_steps", "log_every", "in steps"),
    ("sample_every num_samples", "samples.count", "at every validation"),
    # Serving
    ("half_cache cache_type_k cache_type_v ctk ctv kv_cache_dtype", "--cache-type", "float16, the default, or float32"),
    ("max_num_batched_tokens chunked_prefill_size max_batch_prefill_tokens", "--step-tokens", ""),
    ("max_num_seqs n_parallel parallel max_running_requests", "--batch", ""),
    # Stages of their own
    ("task benchmark", "tasks", ""),
    ("num_fewshot fewshot apply_chat_template", "tasks", "each task has its own settings"),
    ("export_format quant", "exporter", ""),
    ("filters steps_list pipeline dedup deduplicate minhash min_length lang", "steps", "each has its own settings"),
)  # fmt: skip
"""Words typed elsewhere as options or fields, options and fields here, what is different."""

PARTS = {
    "row_objective": (
        ("dpo orpo kto ppo grpo rlhf reward reward_model preference simpo", "", _PREFERENCES),
        ("lm chat instruction instruct supervised causal_lm completion", "sft", ""),
        ("sequence_classification text_classification cls", "classification", ""),
        ("regression", "classification", "with objective.problem=regression"),
        ("ner pos tagging tags", "token_classification", ""),
        ("lora qlora", "", _LORA),
    ),
    "adapter": (
        ("none all", "full", ""),
        ("qlora", "lora", "with adapter.quantize: 4bit"),
        ("adalora loha lokr vera", "", "of peft's kinds lora, ia3, prompt and prefix are trained here"),
        ("prompt_tuning soft_prompt", "prompt", ""),
        ("prefix_tuning", "prefix", ""),
        ("freeze last_layers partial", "layers", ""),
        ("linear_probe classifier", "head", ""),
    ),
    "document_objective": (
        ("clm lm next_token gpt autoregressive", "causal_lm", ""),
        ("mlm bert", "masked_lm", ""),
        ("nsp", "next_sentence", ""),
        ("sop albert", "sentence_order", ""),
        ("fim infilling", "fill_in_the_middle", ""),
        ("t5 denoising span ul2", "span_corruption", ""),
    ),
    "optimizer": (
        ("adamw_torch adamw_torch_fused adamw_hf adamw_fused", "adamw", ""),
        ("adamw_8bit adamw_bnb_8bit paged_adamw paged_adamw_8bit paged_adamw_32bit", "adafactor",
         "states of 8 bits are not there; adafactor has almost no state"),
    ),
    "tokenizer": (
        ("sentencepiece spm t5", "unigram", ""),
        ("byte_level_bpe bytelevel gpt2 bbpe", "bpe", ""),
        ("pretrained from_pretrained tiktoken hf auto", "existing", ""),
        ("bert", "wordpiece", ""),
    ),
    "row": (
        ("sharegpt chat chatml conversation conversations openai", "messages", ""),
        ("instruction instruct dolly", "alpaca prompt_completion", ""),
        ("qa completion pairs", "prompt_completion", ""),
        ("preference preferences dpo chosen", "", _PREFERENCES),
        ("ner token_classification", "tags", ""),
        ("classification label labels", "text_label", ""),
        ("nli sts text_pair_label", "text_pair", ""),
    ),
    "source": (
        ("json jsonl csv parquet text txt local arrow warc", "files", ""),
        ("huggingface hub dataset datasets load_dataset", "hf", ""),
    ),
    "task": (
        ("ppl wikitext bits_per_byte", "perplexity", ""),
        ("pppl pll pseudo_likelihood pseudo_log_likelihood", "pseudo_perplexity", ""),
        ("loss masked_lm mlm validation_loss", "objective", ""),
        ("bleu rouge chrf generate", "generation", ""),
        ("humaneval human_eval mbpp pass_at_k pass@1", "code", ""),
        ("needle niah haystack ruler long_context", "passkey", ""),
        ("throughput latency speed ttft tokens_per_second", "efficiency", ""),
        ("mmlu hellaswag arc arc_easy arc_challenge piqa winogrande gsm8k truthfulqa lambada boolq ceval cmmlu"
         " lm_eval lm_eval_harness", "harness", _BENCHMARKS),
    ),
    "metric": (
        ("acc", "accuracy", ""),
        ("rouge1 rouge2 rougel rougelsum", "rouge", "which of them is in its types"),
        ("chrf++", "chrf", "with word_order=2"),
        ("f1_score macro_f1", "f1", ""),
    ),
    "runtime": (
        ("hf huggingface pytorch local directory", "transformers", ""),
        ("llamacpp ggml gguf llama", "llama_cpp", "a file in GGUF, in this process"),
        ("vllm sglang ollama tgi api server http https remote litellm", "openai",
         "a server, whose address is the model"),
    ),
    "exporter": (
        ("hf huggingface transformers st", "safetensors", ""),
        ("llama_cpp llamacpp ollama q4_k_m q8_0 ggml", "gguf", _GGUF),
        ("onnxruntime ort transformers.js", "onnx", ""),
    ),
    "step": (
        ("gopherqualityfilter gopher", "gopher_quality", ""),
        ("gopherrepetitionfilter", "gopher_repetition", ""),
        ("c4qualityfilter c4", "c4_quality", ""),
        ("finewebqualityfilter fineweb", "fineweb_quality", ""),
        ("minhash minhashdedup minhash_dedup fuzzy_dedup near_dedup", "near_duplicates", ""),
        ("dedup deduplicate exact_dedup", "exact_duplicates", ""),
        ("sentencededup line_dedup", "duplicate_lines", ""),
        ("languagefilter lang_id langid language_id", "language", ""),
        ("urlfilter", "url", ""),
        ("piiformatter pii_removal anonymize", "pii", ""),
        ("trafilatura boilerplate extract html_to_text", "html", ""),
        ("ftfy fix_text", "repair", ""),
        ("unicode nfkc", "normalize", ""),
        ("lengthfilter min_length max_length length_filter", "length", ""),
        ("ngram_decontamination decontamination", "decontaminate", ""),
        ("samplerfilter subsample", "sample", ""),
    ),
}  # fmt: skip
"""By family: words typed elsewhere, members here, what is different."""
