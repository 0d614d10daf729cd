def render(tokenizer, messages, add_generation_prompt):
    return tokenizer.apply_chat_template(messages, add_generation_prompt=add_generation_prompt, tokenize=False)
