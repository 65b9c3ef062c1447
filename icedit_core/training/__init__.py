"""Fine-tuning of FLUX Fill: heavy libraries (diffusers, peft, accelerate, pyarrow) are imported here only, on use."""
