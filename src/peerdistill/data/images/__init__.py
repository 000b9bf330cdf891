"""Picture files: decode them, preprocess them, and cache the result on disk."""
