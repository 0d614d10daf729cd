"""Arguments that SFT and GRPO pass to TRL's trainers: those of the organism's small runs, or those of `scale`."""

from rlgen.settings.models import Scale

# Settings of every TRL trainer here: all artifacts are ours, so the trainer itself reports nothing and saves on demand.
QUIET = {
    "bf16": False,
    "activation_checkpointing": False,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "logging_steps": 1,
    "logging_strategy": "steps",
    "lr_scheduler_type": "constant",
    "num_train_epochs": 1,
    "dataloader_num_workers": 0,
}


def arguments(scale: Scale | None, sequences: int) -> dict:
    """Keyword arguments for SFTConfig or GRPOConfig of steps over `sequences` sequences.

    Precision: the models are loaded in float32, and so are the weights that the optimiser changes. With `bf16` the
    trainer computes in bfloat16: one process by autocast; several by FSDP's mixed precision, which gathers bfloat16
    copies of the weights and adds up gradients in bfloat16 between processes (accelerate, `set_mixed_precision`).
    """
    if scale is None:
        return QUIET | {"per_device_train_batch_size": sequences, "weight_decay": 0.0}
    return QUIET | {
        "bf16": scale.precision == "bf16",
        "activation_checkpointing": scale.gradient_checkpointing,
        "lr_scheduler_type": scale.schedule,
        "warmup_steps": scale.warmup_share,  # below 1 it is a share of all steps
        "per_device_train_batch_size": scale.per_device_batch,
        "gradient_accumulation_steps": scale.accumulation(sequences),
        "adam_beta1": scale.betas[0],
        "adam_beta2": scale.betas[1],
        "weight_decay": scale.weight_decay,
        "max_grad_norm": scale.clip,
    }
