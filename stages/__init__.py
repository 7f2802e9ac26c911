"""The pipeline's stages, a file each; embed and finetune are one stage a backbone. `launcher/` is what starts them."""
