"""What the verbs of `realwaste` do with saved models and photographs."""
