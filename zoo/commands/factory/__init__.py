"""What `generate` does: poses and prompts to labelled pictures, in shards."""
